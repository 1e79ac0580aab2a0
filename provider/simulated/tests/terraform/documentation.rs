// SPDX-License-Identifier: MPL-2.0
//! The examples of the reference pages are configurations that terraform takes.

use provider_drbd::docs;
use provider_drbd::simulated::World;

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
