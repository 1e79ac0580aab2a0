// SPDX-License-Identifier: MPL-2.0
//! The process around the provider: handshake, socket, TLS under Terraform, end, signals, reattach.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::{self, Host, Nothing, call, proto};
use crate::support::{Workspace, fixture, said};

const NOTE: &str = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n}";

#[test]
fn started_by_hand_it_explains_itself() {
    let output = Command::new(fixture()).env_clear().stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("This is a Terraform provider (registry.terraform.io/test/fixture)"),
        "{message}"
    );
    let output = Command::new(fixture()).env_clear().arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let output = Command::new(fixture()).env_clear().arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "terraform-provider-fixture 1.2.3\n");
}

#[test]
fn the_handshake_is_one_line_with_six_fields() {
    for versions in ["5,6", "6,5"] {
        let mut host = Host::start(&[("PLUGIN_PROTOCOL_VERSIONS", versions)]);
        let fields = host.fields();
        assert_eq!(
            (fields.len(), &fields[..3], &fields[4..]),
            (6, &["1", "6", "unix"][..], &["grpc", ""][..])
        );
        host.child.kill().unwrap();
        assert_eq!(host.rest(), "");
    }
    assert_eq!(Host::start(&[]).fields()[1], "6", "without any version, too");
    assert_eq!(Host::start(&[("PLUGIN_MULTIPLEX_GRPC", "true")]).fields()[6], "false");
}

#[test]
fn with_a_client_certificate_the_line_carries_ours() {
    let pem = include_str!("../certificates/client.pem");
    let host = Host::start(&[("PLUGIN_CLIENT_CERT", pem)]);
    let certificate = host.fields()[5].to_owned();
    assert!(certificate.len() > 200 && !certificate.contains('='), "{certificate}");
    let mut broken = host::command(&[("PLUGIN_CLIENT_CERT", "nonsense")]);
    let output = broken.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("PLUGIN_CLIENT_CERT holds no certificate"));
}

#[tokio::test]
async fn over_tls_plain_text_gets_no_answer() {
    let pem = include_str!("../certificates/client.pem");
    let host = Host::start(&[("PLUGIN_CLIENT_CERT", pem)]);
    let channel = host.connect().await;
    let schema = call::<_, proto::GetProviderSchemaResponse>(
        &channel,
        "/tfplugin6.Provider/GetProviderSchema",
        proto::GetProviderSchemaRequest {},
    );
    assert!(schema.await.is_err());
}

#[test]
fn only_this_user_can_reach_the_socket() {
    let host = Host::start(&[]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&host.socket()), mode(host.socket().parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn shutdown_ends_the_process_at_once_and_removes_the_socket() {
    // The fastest of several: the machine may be busy, the process must not be.
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let mut host = Host::start(&[]);
        let channel = host.connect().await;
        let _: proto::GetProviderSchemaResponse =
            call(&channel, "/tfplugin6.Provider/GetProviderSchema", proto::GetProviderSchemaRequest {})
                .await
                .unwrap();
        // Terraform holds these streams open; they must not hold up the end.
        let mut output = tonic::client::Grpc::new(channel.clone());
        output.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Nothing, Nothing>::default();
        let path = "/plugin.GRPCStdio/StreamStdio".parse().unwrap();
        let _open = output.server_streaming(tonic::Request::new(Nothing {}), path, codec).await.unwrap();
        let asked = Instant::now();
        let answered: Result<Nothing, _> =
            call(&channel, "/plugin.GRPCController/Shutdown", Nothing {}).await;
        assert!(answered.is_ok(), "{answered:?}");
        let status = host.wait();
        fastest = fastest.min(asked.elapsed());
        assert_eq!(status.code(), Some(0));
        assert!(!host.socket().exists() && !host.socket().parent().unwrap().exists());
        assert_eq!(host.rest(), "");
    }
    assert!(fastest < Duration::from_millis(50), "the fastest end took {fastest:?}");
}

#[tokio::test]
async fn unknown_calls_are_unimplemented_and_health_is_good() {
    let host = Host::start(&[]);
    let channel = host.connect().await;
    for method in [
        "/tfplugin6.Provider/ListResource",
        "/tfplugin6.Provider/UpgradeResourceIdentity",
        "/nobody.Nothing/Nothing",
    ] {
        let answer = call::<_, Nothing>(&channel, method, Nothing {}).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented, "{method}");
    }
    let health: Result<Nothing, _> = call(&channel, "/grpc.health.v1.Health/Check", Nothing {}).await;
    assert!(health.is_ok());
    let identities: proto::GetResourceIdentitySchemasResponse = call(
        &channel,
        "/tfplugin6.Provider/GetResourceIdentitySchemas",
        proto::GetResourceIdentitySchemasRequest {},
    )
    .await
    .unwrap();
    assert_eq!(identities, proto::GetResourceIdentitySchemasResponse::default());
    let functions: proto::GetFunctionsResponse =
        call(&channel, "/tfplugin6.Provider/GetFunctions", proto::GetFunctionsRequest {}).await.unwrap();
    assert!(functions.functions.contains_key("join_all"), "OpenTofu asks for them");
    let metadata: proto::GetMetadataResponse =
        call(&channel, "/tfplugin6.Provider/GetMetadata", proto::GetMetadataRequest {}).await.unwrap();
    assert_eq!(metadata.resources.len(), 2);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered_not_crashed_on() {
    let host = Host::start(&[]);
    let channel = host.connect().await;
    let value = |msgpack: Vec<u8>| Some(proto::DynamicValue { msgpack, json: vec![] });
    let request = proto::PlanResourceChangeRequest {
        type_name: "fixture_note".to_owned(),
        config: value(vec![0xdf, 0xff, 0xff, 0xff, 0xff]),
        ..Default::default()
    };
    let plan: proto::PlanResourceChangeResponse =
        call(&channel, "/tfplugin6.Provider/PlanResourceChange", request).await.unwrap();
    assert!(plan.diagnostics[0].summary.contains("does not fit the provider's schema"), "{plan:?}");
    let request = proto::ReadResourceRequest {
        type_name: "fixture_nothing".to_owned(),
        current_state: value(vec![0xc0]),
        ..Default::default()
    };
    let read: proto::ReadResourceResponse =
        call(&channel, "/tfplugin6.Provider/ReadResource", request).await.unwrap();
    assert_eq!(read.diagnostics[0].summary, "Unknown type");
    let broken = vec![0x81, 0xa1];
    let request = proto::ApplyResourceChangeRequest {
        type_name: "fixture_note".to_owned(),
        prior_state: value(broken.clone()),
        planned_state: value(vec![0xc0]),
        ..Default::default()
    };
    let applied: proto::ApplyResourceChangeResponse =
        call(&channel, "/tfplugin6.Provider/ApplyResourceChange", request).await.unwrap();
    assert_eq!(applied.new_state.unwrap().msgpack, broken, "the prior state comes back as it was");
    assert_eq!(applied.diagnostics.len(), 1);
}

#[tokio::test]
async fn a_caller_without_write_only_support_is_refused_by_name() {
    let host = Host::start(&[]);
    let channel = host.connect().await;
    let schema: proto::GetProviderSchemaResponse =
        call(&channel, "/tfplugin6.Provider/GetProviderSchema", proto::GetProviderSchemaRequest {})
            .await
            .unwrap();
    let block = schema.resource_schemas["fixture_note"].block.clone().unwrap();
    let json = |attribute: &str| {
        let value = match attribute {
            "secret_wo" => "\"s\"",
            "name" => "\"n\"",
            _ => "null",
        };
        format!("\"{attribute}\":{value}")
    };
    let mut members: Vec<String> = block.attributes.iter().map(|attribute| json(&attribute.name)).collect();
    members.extend(["\"rule\":[]".to_owned(), "\"zone\":{}".to_owned()]);
    let config =
        proto::DynamicValue { msgpack: vec![], json: format!("{{{}}}", members.join(",")).into_bytes() };
    let ask = |allowed: bool| proto::ValidateResourceConfigRequest {
        type_name: "fixture_note".to_owned(),
        config: Some(config.clone()),
        client_capabilities: Some(proto::ClientCapabilities {
            deferral_allowed: false,
            write_only_attributes_allowed: allowed,
        }),
    };
    let method = "/tfplugin6.Provider/ValidateResourceConfig";
    let refused: proto::ValidateResponse = call(&channel, method, ask(false)).await.unwrap();
    assert_eq!(refused.diagnostics.len(), 1);
    assert!(
        refused.diagnostics[0]
            .detail
            .contains("secret_wo is a write-only argument, which needs Terraform 1.11")
    );
    assert!(refused.diagnostics[0].attribute.is_some());
    let accepted: proto::ValidateResponse = call(&channel, method, ask(true)).await.unwrap();
    assert_eq!(accepted.diagnostics, []);
}

#[tokio::test]
async fn handlers_that_block_do_not_delay_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    let variables = [("FIXTURE_FAULT", "blocking_validate"), ("FIXTURE_EVENTS", events.to_str().unwrap())];
    let host = Host::start(&variables);
    let channel = host.connect().await;
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let channel = channel.clone();
        busy.spawn(async move {
            let config = proto::DynamicValue { msgpack: vec![], json: b"{}".to_vec() };
            let request = proto::ValidateProviderConfigRequest { config: Some(config) };
            let method = "/tfplugin6.Provider/ValidateProviderConfig";
            call::<_, proto::ValidateProviderConfigResponse>(&channel, method, request).await
        });
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read_to_string(&events).unwrap_or_default().matches("blocking begins").count() < 2 {
        assert!(Instant::now() < deadline, "the handlers did not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = Instant::now();
    let stopped: proto::StopProviderResponse =
        call(&channel, "/tfplugin6.Provider/StopProvider", proto::StopProviderRequest {}).await.unwrap();
    assert_eq!(stopped, proto::StopProviderResponse::default());
    assert!(asked.elapsed() < Duration::from_millis(1500), "the answer took {:?}", asked.elapsed());
    assert_eq!(busy.try_join_next().map(|done| done.is_ok()), None, "the handlers are still at it");
}

#[tokio::test]
async fn a_move_between_types_is_refused_with_what_to_do() {
    let host = Host::start(&[]);
    let channel = host.connect().await;
    let request = proto::MoveResourceStateRequest {
        source_type_name: "other_thing".to_owned(),
        target_type_name: "fixture_note".to_owned(),
        ..Default::default()
    };
    let moved: proto::MoveResourceStateResponse =
        call(&channel, "/tfplugin6.Provider/MoveResourceState", request).await.unwrap();
    assert!(moved.target_state.is_none());
    assert!(
        moved.diagnostics[0].detail.contains("A state of other_thing cannot become a state of fixture_note")
    );
}

#[test]
fn an_interrupt_is_swallowed_and_a_termination_is_not() {
    let mut host = Host::start(&[]);
    host.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(100));
    assert!(host.child.try_wait().unwrap().is_none(), "it lives on");
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(143));
    assert!(!host.socket().exists());
}

#[test]
fn a_process_whose_host_died_ends() {
    let dir = tempfile::tempdir().unwrap();
    let line = dir.path().join("line");
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" > \"$1\" & sleep 0.3; echo $!"]).arg(fixture()).arg(&line);
    let output = shell.env_clear().env(host::COOKIE.0, host::COOKIE.1).output().unwrap();
    let process = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(10);
    let lives = || fs::read(format!("/proc/{process}/comm")).is_ok_and(|name| name.starts_with(b"fixture"));
    while lives() {
        assert!(Instant::now() < deadline, "process {process} outlives its host");
        std::thread::sleep(Duration::from_millis(50));
    }
    let line = fs::read_to_string(line).unwrap();
    let socket = line.split('|').nth(3).unwrap();
    assert!(!std::path::Path::new(socket).exists(), "{socket} is left behind");
}

#[test]
fn without_tls_and_with_a_long_temporary_directory_it_works() {
    let mut workspace = Workspace::new(NOTE);
    workspace.set("TF_DISABLE_PLUGIN_TLS", "1");
    workspace.apply();
    workspace.unset("TF_DISABLE_PLUGIN_TLS");
    let long = workspace.work().join("t".repeat(120));
    fs::create_dir(&long).unwrap();
    workspace.set("TMPDIR", &long.display().to_string());
    workspace.set("TF_LOG_PROVIDER", "WARN");
    let said = workspace.run(&["plan", "-no-color", "-detailed-exitcode"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.contains("[WARN]").contains("cannot listen in").contains("at most 107 work");
}

#[test]
fn a_debugged_process_serves_several_runs() {
    let mut workspace = Workspace::new(NOTE);
    let mut command = host::command(&[]);
    command.arg("--debug").stdout(Stdio::piped()).stderr(Stdio::null());
    let events = workspace.work().join("debug-events");
    command.env_remove(host::COOKIE.0).env("FIXTURE_EVENTS", &events);
    let mut provider = command.spawn().unwrap();
    let output = provider.stdout.take().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    let variable =
        lines.map_while(Result::ok).find(|line| line.starts_with("TF_REATTACH_PROVIDERS=")).unwrap();
    let json = variable.trim_start_matches("TF_REATTACH_PROVIDERS='").trim_end_matches('\'').to_owned();
    workspace.set("TF_REATTACH_PROVIDERS", &json);

    workspace.succeed(&["plan", "-no-color"]);
    let second = workspace.work().join("second-world");
    fs::create_dir(&second).unwrap();
    let head = fs::read_to_string(workspace.work().join("main.tf")).unwrap();
    workspace.write(
        "main.tf",
        &head.replace(&workspace.world().display().to_string(), &second.display().to_string()),
    );
    workspace.apply().contains("1 added");
    workspace.nothing_to_do();
    assert!(second.join("id-a.json").exists() && !workspace.world().join("id-a.json").exists());

    // A stopped run must not stop the ones after it.
    workspace.write("main.tf", &head.replace("name = \"a\"", "name = \"slow\"\n  delay_ms = 30000"));
    let terraform = workspace.start(&["apply", "-auto-approve", "-no-color"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !fs::read_to_string(&events).unwrap_or_default().contains("write begins slow") {
        assert!(Instant::now() < deadline, "the create did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    let group = rustix::process::Pid::from_raw(i32::try_from(terraform.id()).unwrap()).unwrap();
    rustix::process::kill_process_group(group, Signal::INT).unwrap();
    assert_eq!(said(terraform.wait_with_output().unwrap()).code, Some(1));
    workspace.write("main.tf", &head);
    workspace.apply();

    let id = rustix::process::Pid::from_raw(i32::try_from(provider.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, Signal::INT).unwrap();
    assert!(provider.wait().unwrap().success(), "Ctrl-C ends it");
    let starts = fs::read_to_string(events).unwrap().matches(" start\n").count();
    assert_eq!(starts, 1, "one process served all runs");
}
