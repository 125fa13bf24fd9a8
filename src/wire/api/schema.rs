//! The OpenAPI schemas of the domain's words.

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat, Type};

use crate::task::State;

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.into_iter().map(str::to_owned))).into()
}

fn list_of(items: Schema) -> Schema {
    ArrayBuilder::new().items(RefOr::T(items)).into()
}

pub(super) fn state() -> Schema {
    words(State::ALL.map(State::as_str))
}

pub(super) fn states() -> Schema {
    list_of(state())
}

pub(super) fn task_id() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .into()
}

pub(super) fn task_ids() -> Schema {
    list_of(task_id())
}

pub(super) fn bytes() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let encoded = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("base64", ObjectBuilder::new().schema_type(Type::String))
        .required("base64")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    OneOfBuilder::new().item(text).item(encoded).description(Some("Text, or bytes that are not UTF-8.")).into()
}

pub(super) fn arguments() -> Schema {
    list_of(bytes())
}

pub(super) fn environment() -> Schema {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(bytes().into())));
    let pairs = ArrayBuilder::new().items(RefOr::T(list_of(bytes())));
    OneOfBuilder::new().item(object).item(pairs).into()
}

pub(super) fn queue_name() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9][a-z0-9._-]{0,63}$")).into()
}

pub(super) fn word() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(256)).into()
}

pub(super) fn signal() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A name or number, such as SIGTERM; signal(7)."))
        .into()
}

pub(super) fn on_interrupt() -> Schema {
    words(["retry", "end"])
}

pub(super) fn missed() -> Schema {
    words(["skip", "once", "all"])
}

pub(super) fn overlap() -> Schema {
    words(["skip", "queue", "allow"])
}

pub(super) fn mode() -> Schema {
    words(["open", "paused", "draining"])
}

pub(super) fn origin() -> Schema {
    words(["configured", "adjusted"])
}

pub(super) fn condition() -> Schema {
    words(["success", "end"])
}

pub(super) fn counts() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(integer().into())))
        .description(Some("Tasks by state; a state without tasks may be missing."))
        .into()
}

pub(super) fn integer() -> Schema {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).into()
}

pub(super) fn outcome() -> Schema {
    let how = ["exited", "signalled", "not-started", "timed-out", "cancelled", "interrupted"];
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("how", words(how))
        .required("how")
        .property("code", ObjectBuilder::new().schema_type(Type::Integer))
        .property("signal", signal())
        .property("core_dumped", ObjectBuilder::new().schema_type(Type::Boolean))
        .property("reason", ObjectBuilder::new().schema_type(Type::String))
        .into()
}

pub(super) fn cost() -> Schema {
    ["user_us", "system_us", "max_rss_bytes", "output_bytes", "dropped_bytes"]
        .into_iter()
        .fold(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)), |object, name| {
            object.property(name, integer()).required(name)
        })
        .into()
}
