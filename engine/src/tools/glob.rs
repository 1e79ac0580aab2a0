// SPDX-License-Identifier: MPL-2.0
//! Shell patterns, as an `include` of `drbd.conf` names files.

/// The folder that the files of a pattern are in.
pub fn folder(pattern: &str) -> &str {
    pattern.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a shell pattern with `*` and `?` matches a path. As in a shell, neither matches `/`, nor a leading dot.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (patterns, names): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    patterns.len() == names.len()
        && patterns.iter().zip(&names).all(|(pattern, name)| {
            let hidden = name.starts_with('.') && !pattern.starts_with('.');
            !hidden && matches_name(pattern.as_bytes(), name.as_bytes())
        })
}

/// Linear: a `*` that matched too little is tried again from one further on.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|wanted| *wanted == b'?' || Some(wanted) == name.get(n)) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((after_star, from)) = retry {
            (p, n) = (after_star, from + 1);
            retry = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, expected) in [
            ("/a/*.res", "/a/b.res", true),
            ("/a/*.res", "/a/.b.res", false),
            ("/a/*.res", "/a/b/c.res", false),
            ("/a/?.res", "/a/b.res", true),
            ("/a/*b*.res", "/a/abcb.res", true),
            ("/a/*b*.res", "/a/acd.res", false),
            ("/a/*", "/a/x", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[*?a.]{0,20}", name in "[a.]{0,40}") {
            let _ = matches(&pattern, &name);
        }
    }
}
