//! The OpenAPI document says what there is, all of it and nothing else.

use serde_json::Value;
use taskdaemon::engine::Refusal;

use super::fake::Api;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

fn document(api: &Api) -> Value {
    let answer = api.ask("GET", "/v1/openapi.json", "");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn the_document_and_the_routes_agree() {
    let api = Api::start(|_, _| Err(Refusal::Stopping));
    let document = document(&api);
    for (path, item) in document["paths"].as_object().unwrap() {
        let target =
            path.replace("{id}", "1").replace("{verb}", "cancel").replace("{name}", "a").replace("{change}", "pause");
        for method in METHODS {
            let described = item.get(method.to_ascii_lowercase()).is_some();
            let answer = api.ask(method, &target, "");
            assert_eq!(!answer.starts_with("HTTP/1.1 405"), described, "{method} {target}: {answer}");
            assert!(!answer.contains("no-route"), "{method} {target}: {answer}");
        }
    }
}

#[test]
fn every_schema_that_is_referred_to_is_there() {
    let api = Api::start(|_, _| Err(Refusal::Stopping));
    let document = document(&api);
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas.len() > 20);
}
