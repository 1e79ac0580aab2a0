// SPDX-License-Identifier: MPL-2.0
use super::*;
use std::collections::BTreeMap;

fn gathered(files: &[(&str, &str)]) -> Configuration {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let text = |path: &str| Ok::<_, ()>(files.get(path).map(|text| (*text).to_owned()));
    let names = |folder: &str| {
        let prefix = format!("{folder}/");
        let names = files.keys().filter_map(|path| path.strip_prefix(&prefix));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    };
    read(&gather(text, names).unwrap())
}

#[track_caller]
fn claim_of(text: &str, resource: &str) -> Claim {
    let resources = only("f", text).unwrap();
    claims_of(&resources, "h1").into_iter().find(|claim| claim.resource == resource).unwrap()
}

#[test]
fn claims_are_read_from_both_families_files() {
    let old = "resource web { device /dev/drbd3; disk /dev/vg/web; meta-disk internal;
        on h1 { address 10.0.0.1:7001; } on h2 { address 10.0.0.2:7002; } }";
    let claim = claim_of(old, "web");
    assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[3][..], &[7001][..]));
    assert_eq!((claim.disks, claim.origin.unwrap().to_string()), (vec!["/dev/vg/web".into()], "f:1".into()));

    let new = "resource \"db\" {
        on \"h1\" { node-id 0; volume 0 { device minor 1001; disk \"/dev/vg/db\"; meta-disk internal; } }
        on \"h2\" { node-id 1; volume 0 { device minor 1001; disk \"/dev/vg/other\"; } }
        connection { host \"h1\" address ipv4 10.0.0.1:7005; host \"h2\" address ipv4 10.0.0.2:7006; } }";
    let claim = claim_of(new, "db");
    assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[1001][..], &[7005][..]));
    assert_eq!(claim.volumes[&0], (Some(1001), Some("/dev/vg/db".to_owned())));
    assert_eq!(only("f", new).unwrap()[0].peers("h1").collect::<Vec<_>>(), ["h2"]);
}

#[test]
fn floating_and_stacked_hosts_proxies_and_metadata_devices_claim_too() {
    let floating = "resource f { floating 10.0.0.1:7002 { device minor 6; disk /dev/a; meta-disk /dev/m[1]; }
        floating 10.0.0.2:7003 { device minor 7; disk /dev/b; flexible-meta-disk /dev/n; } }";
    let claim = claim_of(floating, "f");
    assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[6, 7][..], &[7002, 7003][..]));
    assert_eq!(claim.metadata, ["/dev/m", "/dev/n"]);

    let stacked = "resource low { device minor 7; disk /dev/l; meta-disk internal;
          on h1 { address 10.0.0.1:7003; } on h2 { address 10.0.0.2:7003; } }
        resource up { stacked-on-top-of low { device minor 8; address 192.168.1.1:7004; }
          on h3 { device minor 8; disk /dev/u; meta-disk internal; address 192.168.1.2:7004; } }";
    let claim = claim_of(stacked, "up");
    assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[8][..], &[7004][..]));
    assert_eq!(claim.disks, ["/dev/drbd7"]);

    let proxy = "resource p { device minor 9; disk /dev/p; meta-disk internal;
        on h1 { address 127.0.0.1:7005; proxy on h1 { inside 127.0.0.2:7006; outside 10.0.0.1:7007; } }
        on h2 { address 127.0.0.1:7005; proxy on h2 { inside 127.0.0.2:7016; outside 10.0.0.2:7017; } } }";
    assert_eq!(claim_of(proxy, "p").ports, [7005, 7006, 7007]);
}

#[test]
fn a_broken_file_claims_nothing_and_is_named() {
    let found = gathered(&[
        ("/etc/drbd.conf", "include \"drbd.d/*.res\";"),
        ("/etc/drbd.d/a.res", "resource a { on h1 {"),
        ("/etc/drbd.d/b.res", "resource b { }"),
    ]);
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!(found.unreadable[0].0, "/etc/drbd.d/a.res");
    assert_eq!(found.resources.len(), 1);
}

#[test]
fn includes_are_followed_once_each_and_files_that_nothing_includes_claim_too() {
    let found = gathered(&[
        ("/etc/drbd.conf", "include \"drbd.d/one.res\"; include \"/srv/drbd/*.conf\";"),
        ("/etc/drbd.d/one.res", "resource one { }\ninclude \"one.res\"; include \"sub/x.res\";"),
        ("/etc/drbd.d/sub/x.res", "resource sub { }"),
        ("/etc/drbd.d/lost.res", "resource lost { }"),
        ("/srv/drbd/a.conf", "resource srv { } include \"a.conf\";"),
        ("/srv/drbd/.hidden.conf", "resource hidden { }"),
    ]);
    let names: Vec<&str> = found.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["one", "sub", "srv", "lost"]);
    assert_eq!(gathered(&[]), Configuration::default());
}

#[test]
fn a_template_stands_in_the_place_of_common_and_own_sections_win() {
    let found = gathered(&[
        ("/etc/drbd.conf", "include \"drbd.d/a.conf\"; include \"drbd.d/*.res\";"),
        ("/etc/drbd.d/a.conf", "common { protocol A;\nnet { max-buffers 8000; ping-int 3; } }"),
        ("/etc/drbd.d/r.res", "resource r { net { ping-int 5; } }\nresource t { template-file \"t.tmpl\"; }"),
        ("/etc/drbd.d/t.tmpl", "common { net { max-epoch-size 4000; } }"),
    ]);
    let inherited = |name: &str| {
        let resource = found.resource(name).unwrap();
        let settings = found.inherited_by(resource).0;
        let text = |s: &Setting| format!("{}.{} {} {}", s.section, s.name, s.value, s.origin);
        settings.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        inherited("r"),
        ["net.protocol A /etc/drbd.d/a.conf:1", "net.max-buffers 8000 /etc/drbd.d/a.conf:2"]
    );
    assert_eq!(inherited("t"), ["net.max-epoch-size 4000 /etc/drbd.d/t.tmpl:1"]);
}

#[test]
fn a_secret_is_masked_where_it_is_read() {
    let found = only("f", "resource r { net { shared-secret \"hunter22\"; } }").unwrap();
    assert!(!format!("{found:?}").contains("hunter22"));
}

proptest::proptest! {
    #[test]
    fn any_mix_of_its_own_words_is_refused_or_read(
        words in proptest::collection::vec(
            "resource|on|floating|stacked-on-top-of|connection|connection-mesh|hosts|host|address|via|proxy|volume|disk|net|device|minor|meta-disk|a|1|1.2.3.4:5|\\[|\\{|\\}|;",
            0..50,
        )
    ) {
        if let Ok(found) = only("f", &words.join(" ")) {
            let _ = claims_of(&found, "a");
        }
    }
}
