// SPDX-License-Identifier: MPL-2.0
//! The inventory as terraform makes it: in the first apply, and without a change afterwards.

use serde_json::{Value, json};

use crate::support::{NODES, Terraform, volume};

const INVENTORY: &str = r#"
data "drbd_inventory" "this" {
  nodes           = drbd_node.this
  volumes         = { any_key = drbd_replicated_volume.r0 }
  directory       = "/srv"
  groups_by_label = ["zone"]
  vars            = { ports = [80, 443] }
  groups          = { web = { hosts = [drbd_node.this["h1"].name], vars = { tls = true } } }
}
resource "terraform_data" "file" {
  input = data.drbd_inventory.this.yaml
}
"#;

const DATA: &str = "data.drbd_inventory.this";

fn document(tf: &Terraform) -> Value {
    serde_json::from_str(tf.state(DATA)["json"].as_str().unwrap()).unwrap()
}

#[test]
fn it_is_there_after_the_first_apply_and_changes_with_what_it_is_made_of_only() {
    let tf =
        Terraform::new(&format!("{}{INVENTORY}", volume("size = \"64MiB\"\nnet = { protocol = \"C\" }")));
    tf.apply().good();
    tf.plan_is_empty();
    let before = tf.state(DATA);
    tf.apply().good().says(&["0 added, 0 changed, 0 destroyed"]);
    assert_eq!(tf.state(DATA), before);
    let groups = document(&tf)["all"]["children"].clone();
    assert_eq!(groups["web"], json!({ "hosts": { "h1": {} }, "vars": { "tls": true } }));
    assert_eq!(groups["zone_h2"], json!({ "hosts": { "h2": {} } }));
    assert_eq!(groups["drbd"]["vars"]["ports"], json!([80, 443]));

    // The declaration is the very one that the hosts were given.
    let sent = tf.on_host("h1", "r0").unwrap().declaration.unwrap();
    let declared = groups["drbd"]["vars"]["drbd_resources"]["r0"].clone();
    assert_eq!(declared, sent);
    assert_eq!(declared["nodes"]["h2"]["node_id"], 1);

    let larger = format!("{}{INVENTORY}", volume("size = \"128MiB\"\nnet = { protocol = \"C\" }"));
    tf.config(&larger);
    tf.apply().good();
    assert_eq!(
        document(&tf)["all"]["children"]["drbd"]["vars"]["drbd_resources"]["r0"]["volumes"]["0"]["size"],
        "128MiB"
    );
    tf.plan_is_empty();
}

#[test]
fn a_secret_is_a_reference_to_a_variable() {
    let secret = "size = \"64MiB\"\nshared_secret_wo = \"hunter22\"\nshared_secret_wo_version = 1";
    let tf = Terraform::new(&format!("{}{INVENTORY}", volume(secret)));
    tf.apply().good();
    let groups = document(&tf)["all"]["children"].clone();
    let declared = &groups["drbd"]["vars"]["drbd_resources"]["r0"];
    assert_eq!(declared["shared_secret"], "{{ drbd_shared_secrets['r0'] }}");
    tf.plan_is_empty();
}

#[test]
fn it_is_validated_while_nodes_are_not_known_yet_and_refused_where_it_cannot_be_right() {
    let config = |inventory: &str| {
        format!(
            "{NODES}\nresource \"terraform_data\" \"x\" {{ input = \"h1\" }}\ndata \"drbd_inventory\" \"this\" {{\n{inventory}\n}}\n"
        )
    };
    let tf = Terraform::new(&config(
        "nodes = drbd_node.this\nhost_vars = { (terraform_data.x.output) = { rack = 7 } }",
    ));
    tf.apply().good();
    assert_eq!(document(&tf)["all"]["children"]["drbd"]["hosts"]["h1"]["rack"], 7);
    tf.config(&config("nodes = drbd_node.this\ndirectory = \"here\""));
    tf.plan().bad(&["Not an absolute path", "abspath(path.root)"]);
    tf.config(&config("nodes = drbd_node.this\ngroups = { web = { hosts = [\"h9\"] } }"));
    tf.plan().bad(&["No such node", "\"h9\" is none of the given nodes"]);
}
