// SPDX-License-Identifier: MPL-2.0
//! `/proc/crypto`: the algorithms that the kernel has now. One that is not here may be a module that is not loaded yet
//! (see `modinfo`).

use std::collections::BTreeMap;

/// A digest of the kernel, as DRBD uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Bytes that it works on at once.
    pub block_size: u32,
    /// Bytes of its result.
    pub digest_size: u32,
}

/// The digests in the text, by name. Whatever else is there (ciphers, compression) is left out: DRBD has no use for it.
pub fn parse_digests(text: &str) -> BTreeMap<String, Digest> {
    text.split("\n\n").filter_map(digest).collect()
}

fn digest(entry: &str) -> Option<(String, Digest)> {
    let field = |name: &str| {
        entry.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    // DRBD asks for synchronous ones (`crypto_alloc_shash`).
    let found = Digest {
        block_size: field("blocksize")?.parse().ok()?,
        digest_size: field("digestsize")?.parse().ok()?,
    };
    (field("type")? == "shash").then(|| Some((field("name")?.to_owned(), found)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a lab host.
    const TEXT: &str = "name         : crc32c
driver       : crc32c-lib
module       : kernel
priority     : 100
refcnt       : 1
selftest     : passed
internal     : no
type         : shash
blocksize    : 1
digestsize   : 4

name         : ecb(aes)
driver       : ecb-aes-lib
module       : kernel
type         : lskcipher
blocksize    : 16
min keysize  : 16

name         : sha256
driver       : sha256-lib
module       : kernel
type         : shash
blocksize    : 64
digestsize   : 32
";

    #[test]
    fn only_digests_count() {
        let found = parse_digests(TEXT);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["crc32c", "sha256"]);
        assert_eq!(found["sha256"], Digest { block_size: 64, digest_size: 32 });
        assert!(parse_digests("").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = parse_digests(&text);
        }
    }
}
