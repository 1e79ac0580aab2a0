// SPDX-License-Identifier: MPL-2.0
//! The examples of the reference pages are configurations that terraform takes.

use provider_drbd::docs;
use provider_drbd::simulated::World;
use serde_json::Value;

use crate::support::Terraform;

#[test]
fn every_example_is_valid_and_formatted() {
    for page in docs::pages() {
        let tf = Terraform::on(&World::default(), page.example);
        if page.example.contains("required_providers") {
            tf.whole_config(page.example);
            // Its variables are in a file of their own.
            let variables =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples-terraform/two-hosts/variables.tf");
            std::fs::copy(variables, tf.work().join("variables.tf")).unwrap();
        }
        tf.run(&["validate", "-no-color"]).good().says(&["The configuration is valid"]);
        std::fs::write(tf.work().join("main.tf"), page.example).unwrap();
        assert_eq!(tf.run(&["fmt", "-check", "-diff"]).good().text, "", "{}", page.path);
    }
}

#[test]
fn every_attribute_is_described() {
    let tf = Terraform::new("");
    let schemas: Value =
        serde_json::from_str(&tf.run(&["providers", "schema", "-json"]).good().text).unwrap();
    let mut missing = Vec::new();
    undescribed(&schemas["provider_schemas"]["registry.terraform.io/replivol/drbd"], "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

/// Places of objects with the key `attributes` whose members lack a description.
fn undescribed(schema: &Value, place: &str, missing: &mut Vec<String>) {
    let Some(members) = schema.as_object() else { return };
    for (name, member) in members {
        let place = format!("{place}/{name}");
        if name == "attributes" {
            for (attribute, value) in member.as_object().unwrap() {
                if value["description"].as_str().is_none_or(|text| text.trim().len() < 10) {
                    missing.push(format!("{place}/{attribute}"));
                }
            }
        }
        undescribed(member, &place, missing);
    }
}
