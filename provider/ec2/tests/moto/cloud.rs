// SPDX-License-Identifier: MPL-2.0
//! One moto server for one test, and what tests ask of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use drbd_ec2::{
    DataVolume, Ec2, Image, ImageChoice, Launch, Owner, Performance, Place, PlaceChoice, Role, RootDisk,
    Settings, Tags,
};
use serde_json::{Value, json};

/// A running server. Gone when dropped, and when this process dies: its standard input ends then.
pub(crate) struct Cloud {
    server: Child,
    port: u16,
    pub(crate) subnets: Vec<String>,
    pub(crate) group: String,
    pub(crate) vpc: String,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

/// Where `scripts/setup` put moto.
fn python() -> PathBuf {
    let bin = std::env::var_os("REPLIVOL_MOTO").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME");
        Path::new(&home).join(".cache/replivol/moto/bin")
    });
    let python = bin.join("python");
    assert!(python.exists(), "{} is missing; run `make setup`", python.display());
    python
}

impl Cloud {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/moto/server.py");
        let mut server = Command::new(python())
            .arg(script)
            .env("AWS_REGION", "us-west-2")
            .env_remove("LAB_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server's port");
        let mut cloud = Self { server, port, subnets: Vec::new(), group: String::new(), vpc: String::new() };
        let made = cloud.ask(json!({
            "op": "network", "subnets": [["10.99.0.0/24", "us-west-2a"], ["10.99.1.0/24", "us-west-2b"]],
        }));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        cloud.subnets = made["subnets"].as_array().unwrap().iter().map(text).collect();
        (cloud.group, cloud.vpc) = (text(&made["group"]), text(&made["vpc"]));
        cloud
    }

    /// One request to the server's control.
    pub(crate) fn ask(&self, request: Value) -> Value {
        let body = request.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "POST /lab HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{request}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        serde_json::from_value(self.ask(json!({ "op": "calls" }))).unwrap()
    }

    /// Instances that are not gone, and data volumes.
    pub(crate) fn there(&self) -> Value {
        self.ask(json!({ "op": "there" }))
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.there()[what].as_array().unwrap().len()
    }

    pub(crate) fn ec2(&self) -> Ec2 {
        self.ec2_with(|_| ())
    }

    pub(crate) fn ec2_with(&self, change: impl FnOnce(&mut Settings)) -> Ec2 {
        let mut settings = Settings {
            region: Some("us-west-2".into()),
            keys: Some(("AKIDTEST".into(), "secret".into(), None)),
            endpoint_url: Some(format!("http://127.0.0.1:{}", self.port)),
            default_tags: Tags::from([("team".into(), "storage".into())]),
            ..Settings::default()
        };
        change(&mut settings);
        Ec2::new(settings)
    }

    pub(crate) fn owner(&self, node: &str) -> Owner {
        Owner { scope: self.vpc.clone(), node: node.into() }
    }

    pub(crate) fn choice(&self) -> PlaceChoice {
        PlaceChoice { subnet_id: Some(self.subnets[0].clone()), availability_zone: None }
    }

    pub(crate) fn launch(&self, change: impl FnOnce(&mut Launch)) -> Launch {
        let place = Place {
            subnet_id: self.subnets[0].clone(),
            availability_zone: "us-west-2a".into(),
            vpc_id: self.vpc.clone(),
        };
        let image = Image {
            id: "ami-0d0000000000deb12".into(),
            architecture: Some("x86_64".into()),
            root_device: Some("/dev/xvda".into()),
        };
        let mut launch = Launch {
            place,
            image,
            instance_type: "t3.micro".into(),
            private_ip: None,
            associate_public_ip_address: None,
            key_name: Some("lab".into()),
            security_group_ids: vec![self.group.clone()],
            iam_instance_profile: None,
            http_tokens_required: true,
            hop_limit: 1,
            root_disk: RootDisk { size_gib: Some(10), encrypted: Some(true), ..RootDisk::default() },
            user_data: b"#cloud-config\nhostname: a\n".to_vec(),
            placement_group: None,
            spot: None,
            tags: Tags::from([("team".into(), "mine".into())]),
        };
        change(&mut launch);
        launch
    }

    pub(crate) fn disk(&self, size_gib: u32) -> DataVolume {
        DataVolume {
            role: Role::Disk { pool: "data".into(), disk: "d0".into() },
            availability_zone: "us-west-2a".into(),
            performance: Performance { size_gib, volume_type: "gp3".into(), iops: None, throughput: None },
            encrypted: true,
            kms_key_id: None,
            tags: Tags::new(),
        }
    }
}

/// By owner and name.
pub(crate) fn newest_debian() -> ImageChoice {
    ImageChoice::Newest { owners: vec!["136693071363".into()], name: "debian-12-amd64-*".into() }
}
