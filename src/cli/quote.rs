//! Commands as a shell would read them back.

use crate::task::Bytes;

/// The words of a command on one line, each quoted where a POSIX shell would need it.
///
/// What is not printable UTF-8 stands in `$'…'` with escapes, as Bash, Zsh and POSIX.1-2024 read it; so the
/// line holds no tab, no line break and nothing that a terminal would obey.
pub(super) fn command(argv: &[Bytes]) -> String {
    let words: Vec<String> = argv.iter().map(word).collect();
    words.join(" ")
}

/// One word of a command.
pub(super) fn word(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes.as_bytes()) {
        Ok(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Ok(text) if !text.chars().any(must_be_escaped) => format!("'{}'", text.replace('\'', r"'\''")),
        Ok(_) | Err(_) => escaped(bytes.as_bytes()),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"%+,-./:=@_^".contains(&byte)
}

/// Control characters, and the marks that turn the direction of text.
fn must_be_escaped(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '\\' => text.extend(['\\', character]),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                escape if must_be_escaped(escape) => {
                    let mut buffer = [0; 4];
                    octal(escape.encode_utf8(&mut buffer).as_bytes(), &mut text);
                }
                plain => text.push(plain),
            }
        }
        octal(chunk.invalid(), &mut text);
    }
    text.push('\'');
    text
}

/// Three octal digits always end an escape; hexadecimal ones would go on into the next character.
fn octal(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str(&format!("\\{byte:03o}"));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn plain_words_stand_as_they_are() {
        assert_eq!(command(&["rsync".into(), "-a".into(), "/srv/".into(), "a@b:/x".into()]), "rsync -a /srv/ a@b:/x");
    }

    #[test]
    fn others_are_quoted() {
        assert_eq!(word(&"".into()), "''");
        assert_eq!(word(&"a b".into()), "'a b'");
        assert_eq!(word(&"it's $HOME".into()), r"'it'\''s $HOME'");
        assert_eq!(word(&"café".into()), "'café'");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(word(&"a\tb\nc".into()), r"$'a\tb\nc'");
        assert_eq!(word(&"\u{1b}[31m".into()), r"$'\033[31m'");
        assert_eq!(word(&vec![b'a', 0xff, b'1'].into()), r"$'a\3771'");
        assert_eq!(word(&"\u{202e}'x".into()), r"$'\342\200\256\'x'");
    }

    proptest! {
        #[test]
        fn one_line_of_valid_text_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let quoted = word(&bytes.into());
            prop_assert_eq!(quoted.chars().find(|c| c.is_control()), None);
        }
    }

    #[test]
    fn a_shell_reads_back_every_byte() {
        let all: Vec<u8> = (1..=255).collect();
        let words = [Bytes::from(all.clone()), "it's".into(), "".into(), "$(x) `y` \\".into()];
        let script = format!("printf '%s|' {}", command(&words));
        let output = Command::new("bash").args(["-c", &script]).env("LC_ALL", "C").output().unwrap();
        let mut expected = all;
        expected.extend_from_slice(b"|it's||$(x) `y` \\|");
        assert_eq!(output.stdout, expected);
    }
}
