// SPDX-License-Identifier: MPL-2.0
//! LVM in the model: the commands that make, grow and remove logical volumes, and its report.

use super::machine::{Data, Disk, Lv, World};
use super::tools::{done, kib, option};
use crate::host::Output;
use serde_json::json;

pub(super) fn lvcreate(world: &mut World, host: &str, words: &[&str]) -> Output {
    let uuid = format!("{:0>32}", format!("{:x}", world.fresh_number()));
    let thin = option(words, "--thinpool");
    let size = option(words, "--virtualsize").or_else(|| option(words, "--size")).map_or(0, kib);
    let name = format!(
        "{}/{}",
        words.last().copied().unwrap_or_default(),
        option(words, "--name").unwrap_or_default()
    );
    let machine = world.machine(host);
    if machine.lvs.contains_key(&name) {
        return Output::of(5, "", "  Logical Volume already exists in volume group\n");
    }
    let data = if thin.is_some() { Data::Zeroes } else { Data::Leftover };
    let disk = Disk { size_kib: size.next_multiple_of(4096), data, metadata: None };
    let tag = option(words, "--addtag").map(str::to_owned);
    machine.lvs.insert(name, Lv { uuid, pool: thin.map(str::to_owned), tag, disk });
    done()
}

pub(super) fn lvextend(world: &mut World, host: &str, words: &[&str]) -> Output {
    let size = option(words, "--size").map_or(0, kib).next_multiple_of(4096);
    match world.machine(host).lvs.get_mut(words.last().copied().unwrap_or_default()) {
        Some(lv) if lv.disk.size_kib < size => {
            lv.disk.size_kib = size;
            done()
        }
        _ => Output::of(5, "", "  not found or not larger\n"),
    }
}

pub(super) fn lvremove(world: &mut World, host: &str, words: &[&str]) -> Output {
    let name = words.last().copied().unwrap_or_default().to_owned();
    match world.machine(host).lvs.remove(&name) {
        Some(lv) => {
            if lv.disk.data == Data::Replicated || lv.disk.metadata.is_some_and(|md| md.generation != 4) {
                world.lose(format!("{host}: lvremove {name}"));
            }
            done()
        }
        None => Output::of(5, "", "  Failed to find logical volume\n"),
    }
}

pub(super) fn report(world: &mut World, host: &str) -> String {
    let machine = world.machine(host);
    let says = |name: &str| machine.lvm_says.get(name);
    let mut lvs: Vec<_> = machine
        .lvs
        .iter()
        .map(|(name, lv)| {
            let uuid = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32]
                .map(|r| lv.uuid.get(r).unwrap_or_default());
            json!({
                "lv_name": name.rsplit('/').next(), "lv_uuid": uuid.join("-"),
                "lv_size": (lv.disk.size_kib * 1024).to_string(),
                "lv_attr": says(name).map_or(if lv.pool.is_some() { "Vwi-a-tz--" } else { "-wi-a-----" }, |says| says.0),
                "lv_tags": lv.tag.clone().unwrap_or_default(), "pool_lv": lv.pool.clone().unwrap_or_default(),
                "data_percent": says(name).map_or("", |says| says.1), "metadata_percent": "", "lv_layout": "linear",
            })
        })
        .collect();
    lvs.extend(machine.pools.iter().map(|(name, zeroing)| {
        json!({
            "lv_name": name.rsplit('/').next(), "lv_uuid": "pool", "lv_size": "1073741824",
            "lv_attr": says(name).map_or(if *zeroing { "twi-aotz--" } else { "twi-aot---" }, |says| says.0),
            "lv_tags": "", "pool_lv": "",
            "data_percent": says(name).map_or("0.00", |says| says.1), "metadata_percent": "1.00", "lv_layout": "thin,pool",
        })
    }));
    let vg = json!({
        "vg_name": "vg0", "vg_uuid": "gggggg-gggg-gggg-gggg-gggg-gggg-gggggg", "vg_size": "2147483648", "vg_free": "1073741824",
        "vg_extent_size": "4194304", "vg_attr": if machine.lost_pv { "wz-pn-" } else { "wz--n-" },
    });
    let pv = json!({
        "pv_name": if machine.lost_pv { "[unknown]" } else { "/dev/sdz" }, "pv_uuid": "pv-uuid", "vg_name": "vg0",
        "pv_size": "2147483648", "dev_size": "2148483648", "pv_missing": if machine.lost_pv { "missing" } else { "" },
    });
    json!({ "report": [{ "vg": [vg], "pv": [pv], "lv": lvs }] }).to_string()
}
