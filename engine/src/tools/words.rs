// SPDX-License-Identifier: MPL-2.0
//! A macro for closed sets of words that a tool may extend: an enum with DRBD's exact words and `Unrecognised`.
//! Not here: the sets themselves.

/// Declares an enum whose variants are words of a tool, with `parse`, `as_str` and `Display`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A word that this version of the parser does not know, as it was printed.
            Unrecognised(String),
        }

        impl $name {
            /// Every word that is known, in the order of the declaration.
            pub const KNOWN: &'static [&'static str] = &[$($word),+];

            /// The variant of a word; never fails, see `Unrecognised`.
            pub fn parse(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Unrecognised(other.to_owned()),
                }
            }

            /// The tool's own word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unrecognised(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;
