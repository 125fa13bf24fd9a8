//! Which variables hold secrets.

/// Whether a variable of that name is likely to hold a secret: such values are never shown.
#[must_use]
pub fn looks_secret(name: &[u8]) -> bool {
    const SIGNS: [&[u8]; 10] = [
        b"TOKEN",
        b"SECRET",
        b"PASSWORD",
        b"PASSWD",
        b"PASSPHRASE",
        b"KEY",
        b"CREDENTIAL",
        b"AUTH",
        b"COOKIE",
        b"PRIVATE",
    ];
    let name = name.to_ascii_uppercase();
    SIGNS.iter().any(|sign| name.windows(sign.len()).any(|part| part == *sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_any_case() {
        for secret in ["GITHUB_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "Credentials", "api_key"] {
            assert!(looks_secret(secret.as_bytes()), "{secret}");
        }
        for plain in ["PATH", "HOME", "LANG", "", "TERM"] {
            assert!(!looks_secret(plain.as_bytes()), "{plain}");
        }
    }
}
