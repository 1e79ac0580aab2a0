// SPDX-License-Identifier: MPL-2.0
//! The reference pages in `docs/`, in the layout of the Terraform registry, generated from the schemas.
//!
//! A test compares them with the files of the repository; `UPDATE=1` writes them. The examples are HCL that a test gives
//! to `terraform validate`.

use tfplugin::{DataSource, Provider, Resource, Schema};

use crate::{Drbd, drbd_host, inventory, node, provider, replicated_volume, resource_group, security_group};

/// The example of the index page is the one that the tests run on real hosts.
const TWO_HOSTS: &str = include_str!("../../examples-terraform/two-hosts/main.tf");

const NODE: &str = include_str!("docs/node.tf");
const RESOURCE_GROUP: &str = include_str!("docs/resource_group.tf");
const REPLICATED_VOLUME: &str = include_str!("docs/replicated_volume.tf");
const SECURITY_GROUP: &str = include_str!("docs/security_group.tf");
const HOST: &str = include_str!("docs/host.tf");
const INVENTORY: &str = include_str!("docs/inventory.tf");

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Path below `docs/`.
    pub path: &'static str,
    /// The whole page.
    pub text: String,
    /// The HCL of its example.
    pub example: &'static str,
}

/// All pages.
pub fn pages() -> Vec<Page> {
    let drbd = Drbd::over_ssh();
    let shared = drbd.shared();
    let node = node::NodeResource::new(shared.clone());
    let volume = replicated_volume::VolumeResource::new(shared.clone());
    let security_group = security_group::SecurityGroupResource::new(shared.clone());
    let host = drbd_host::HostDataSource::new(shared.clone());
    let inventory = inventory::InventoryDataSource::new(shared);
    vec![
        page("index.md", "drbd Provider", (&drbd.schema(), provider::DESCRIPTION), TWO_HOSTS, None),
        page(
            "resources/node.md",
            "drbd_node Resource - drbd",
            (&node.schema(), node::schema::DESCRIPTION),
            NODE,
            Some(NODE_IMPORT),
        ),
        page(
            "resources/resource_group.md",
            "drbd_resource_group Resource - drbd",
            (&resource_group::GroupResource.schema(), resource_group::schema::DESCRIPTION),
            RESOURCE_GROUP,
            None,
        ),
        page(
            "resources/replicated_volume.md",
            "drbd_replicated_volume Resource - drbd",
            (&volume.schema(), replicated_volume::schema::DESCRIPTION),
            REPLICATED_VOLUME,
            Some(VOLUME_IMPORT),
        ),
        page(
            "resources/security_group.md",
            "drbd_security_group Resource - drbd",
            (&security_group.schema(), security_group::schema::DESCRIPTION),
            SECURITY_GROUP,
            Some(SECURITY_GROUP_IMPORT),
        ),
        page(
            "data-sources/host.md",
            "drbd_host Data Source - drbd",
            (&host.schema(), drbd_host::schema::DESCRIPTION),
            HOST,
            None,
        ),
        page(
            "data-sources/inventory.md",
            "drbd_inventory Data Source - drbd",
            (&inventory.schema(), inventory::schema::DESCRIPTION),
            INVENTORY,
            None,
        ),
    ]
}

const NODE_IMPORT: &str = "The id is the node's name and the host to log in to, as `<name>@<ssh host>`:\n\n\
    ```shell\nterraform import 'drbd_node.a' 'h1@10.0.0.11'\n```\n\n\
    The provider's `ssh` settings are used. Storage pools are taken from the configuration by the next apply; a volume group \
    that exists already is never removed with an imported node.\n\n\
    A running EC2 instance is imported by its id:\n\n\
    ```shell\n# Made by this provider: its tags tell the node's name and its data disks.\n\
    terraform import 'drbd_node.a' 'i-0123456789abcdef0'\n\
    # Made by somebody else: the node's name, and each data disk that shall be the node's, as <pool>/<disk>=<volume id>.\n\
    terraform import 'drbd_node.a' 'drbd-a@i-0123456789abcdef0,data/d0=vol-0123456789abcdef0'\n```\n\n\
    Without `<name>@`, the node is called as its tag `replivol:node` says, else as its tag `Name`. With `/public` after the \
    instance id, Terraform logs in to the public address. The host is asked which volume group lies on the disks; all disks of a \
    volume group must be named. The host keys are those on the instance's console; where it shows none, a `known_hosts` file must \
    vouch.\n\n\
    **The import changes nothing**, neither in EC2 nor on the host, and an `import` block may be planned as often as you like: Terraform \
    asks for an import when it plans, too. The node's tags (`replivol:…`, and `Name` where there is none) are written to the instance \
    and the named disks by the first apply that changes or destroys the node, before anything else; until then the state alone says \
    that they are this node's. Volumes that are neither named nor tagged stay as they are. An instance or a disk with the tags of \
    another node is refused, and so is an instance that does not run: its host tells what its disks hold.\n\n\
    The plan after the import is empty when the configuration says what there is: `image_id`, `instance_type`, `subnet_id` and \
    not `availability_zone`, `security_group_ids`, `key_name`, `iam_instance_profile`, `tags`, and the pools with their sizes, \
    without `kms_key_id`. A disk that carried no tags of the node comes in with `on_destroy = \"retain_disk\"`. What only a \
    configuration knows, such as `labels`, shows as a change; applying it changes nothing in EC2 or on the host.\n";

const SECURITY_GROUP_IMPORT: &str = "The id is that of the group:\n\n\
    ```shell\nterraform import 'drbd_security_group.drbd' 'sg-0123456789abcdef0'\n```\n\n\
    The import changes nothing. The tags by which the group is found again are written by the first apply that changes or destroys \
    it. Rules for a service's usual ports come in as its sources, all others as `undeclared_rules`. The default group of a VPC \
    is refused.\n";

const VOLUME_IMPORT: &str = "The id is the volume's name and all of its hosts, as `<name>@<ssh host>[,<ssh host>...]`:\n\n\
    ```shell\nterraform import 'drbd_replicated_volume.r0' 'r0@10.0.0.11,10.0.0.12'\n```\n\n\
    The hosts do not know the name of the resource group, so the first plan after an import shows `resource_group` \
    as a change; applying it changes nothing on hosts that are as declared.\n";

fn page(
    path: &'static str,
    title: &str,
    (schema, description): (&Schema, &str),
    example: &'static str,
    import: Option<&str>,
) -> Page {
    let first = description.split("\n\n").next().unwrap_or_default();
    let mut text = format!(
        "---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {first}\n---\n\n\
         <!-- Generated from the provider's schema; `UPDATE=1 cargo test -p terraform-provider-drbd --test docs` writes it. -->\n\n"
    );
    let heading = title.strip_suffix(" - drbd").unwrap_or(title);
    let example_text = example.split_once('\n').map_or(example, |(_licence, rest)| rest);
    text.push_str(&format!(
        "# {heading}\n\n{description}\n\n## Example Usage\n\n```terraform\n{example_text}```\n\n"
    ));
    text.push_str(schema.to_markdown().trim_end());
    text.push('\n');
    if let Some(import) = import {
        text.push_str(&format!("\n## Import\n\n{import}"));
    }
    Page { path, text, example }
}
