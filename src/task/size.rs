//! Bytes as people say them.

use std::fmt;

/// A number of bytes, shown in the largest unit that leaves something before the point: `512`, `3.4K`, `64M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, char); 4] = [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
        let bytes = self.0;
        let Some((scale, unit)) = UNITS.into_iter().find(|(scale, _)| bytes >= *scale) else {
            return write!(f, "{bytes}");
        };
        let tenths = bytes / (scale / 10).max(1);
        match tenths % 10 {
            0 => write!(f, "{}{unit}", tenths / 10),
            rest => write!(f, "{}.{rest}{unit}", tenths / 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_short() {
        assert_eq!(Size(512).to_string(), "512");
        assert_eq!(Size(3500).to_string(), "3.4K");
        assert_eq!(Size(64 << 20).to_string(), "64M");
        assert_eq!(Size(u64::MAX).to_string(), "16777216T");
    }
}
