// SPDX-License-Identifier: MPL-2.0
//! A provider for the tests: notes kept as files of one directory. It can be told to be slow and to misbehave by
//! environment variables, and it writes down what it is asked. Not a model for a provider in every respect: only a
//! test wants faults on demand.
//!
//! * `FIXTURE_EVENTS`: a file to which each call adds a line `<microseconds> <process id> <event>`.
//! * `FIXTURE_FAULT`: the name of a fault, looked for where it strikes (`fault(…)`).
//! * `FIXTURE_VERSION`: the schema version of notes, 2 when absent.
#![expect(clippy::panic, reason = "a panic is one of the faults on demand")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tfplugin::{
    AnyDataSource, AnyEphemeral, AnyFunction, AnyResource, ApplyResult, Attribute, Context, CreateRequest,
    DataResult, DataSource, Decode, DeleteRequest, DeleteResult, Diagnostic, Diagnostics, Encode,
    EphemeralResource, Function, FunctionError, ImportResult, OpenResult, Parameter, Path, PlanAction,
    PlanRequest, PlanResult, Provider, RawState, ReadRequest, ReadResult, Refinements, RenewResult, Resource,
    Schema, ServeOptions, Signature, Type, UpdateRequest, UpgradeResult, Value, serve,
};

fn main() -> ExitCode {
    event("start");
    let world = Arc::new(World::default());
    serve(Fixture { world }, ServeOptions::new("registry.terraform.io/test/fixture").version("1.2.3"))
}

/// Adds a line to the file of events.
fn event(text: &str) {
    let Some(path) = std::env::var_os("FIXTURE_EVENTS") else { return };
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let line = format!("{micros} {} {text}\n", std::process::id());
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}

fn fault(name: &str) -> bool {
    std::env::var("FIXTURE_FAULT").is_ok_and(|fault| fault == name)
}

/// Where the notes are.
#[derive(Default)]
struct World {
    dir: Mutex<Option<PathBuf>>,
}

impl World {
    fn file(&self, id: &str) -> Result<PathBuf, Diagnostic> {
        let dir = self.dir.lock().map_err(|_| Diagnostic::error("Lock poisoned", "A handler panicked."))?;
        let dir =
            dir.as_ref().ok_or_else(|| Diagnostic::error("Not configured", "The directory is not known."))?;
        Ok(dir.join(format!("{id}.json")))
    }

    fn store(&self, state: &Value) -> Result<(), Diagnostic> {
        let id = state.get("id").as_str().unwrap_or_default();
        fs::write(self.file(id)?, to_json(state))
            .map_err(|error| Diagnostic::error("Cannot write", error.to_string()))
    }

    fn load(&self, id: &str) -> Result<Option<Value>, Diagnostic> {
        match fs::read_to_string(self.file(id)?) {
            Ok(text) => RawState::new(text).decode(&note_schema().object_type()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Diagnostic::error("Cannot read the note", format!("{id}: {error}"))),
        }
    }
}

fn to_json(value: &Value) -> String {
    let list = |elements: &[Value]| elements.iter().map(to_json).collect::<Vec<_>>().join(",");
    match value {
        Value::Null | Value::Unknown(_) => "null".to_owned(),
        Value::Dynamic(typed) => {
            format!("{{\"type\":{},\"value\":{}}}", typed.ty.to_json(), to_json(&typed.value))
        }
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::List(elements) | Value::Set(elements) => format!("[{}]", list(elements)),
        Value::Map(members) | Value::Object(members) => {
            let mut text = String::from("{");
            for (position, (name, member)) in members.iter().enumerate() {
                let comma = if position == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{name:?}:{}", to_json(member));
            }
            text + "}"
        }
    }
}

struct Fixture {
    world: Arc<World>,
}

impl Provider for Fixture {
    fn schema(&self) -> Schema {
        Schema::new()
            .description("Notes as files.")
            .attribute(Attribute::string("dir").optional().description("The directory of the notes."))
    }

    async fn validate(&self, _config: &Value, _ctx: &Context) -> Diagnostics {
        if fault("blocking_validate") {
            event("blocking begins");
            // Wrong in a handler, and no reason for the process to stop answering.
            std::thread::sleep(Duration::from_secs(3));
        }
        Diagnostics::new()
    }

    async fn configure(&self, config: Value, ctx: &Context) -> Diagnostics {
        let dir = match config.reader().and_then(|config| config.known::<String>("dir")) {
            Ok(dir) => dir.known(),
            Err(problem) => return problem.into(),
        };
        event(&format!("configure {} {}", dir.as_deref().unwrap_or("-"), ctx.terraform_version()));
        tracing::info!("configured");
        tracing::debug!("a fine line");
        match self.world.dir.lock() {
            Ok(mut place) => *place = dir.map(PathBuf::from),
            Err(_) => return Diagnostic::error("Lock poisoned", "A handler panicked.").into(),
        }
        Diagnostics::new()
    }

    fn resources(&self) -> Vec<AnyResource> {
        vec![AnyResource::new(Note { world: Arc::clone(&self.world) }), AnyResource::new(Plain)]
    }

    fn data_sources(&self) -> Vec<AnyDataSource> {
        vec![AnyDataSource::new(NoteText { world: Arc::clone(&self.world) })]
    }

    fn functions(&self) -> Vec<AnyFunction> {
        vec![AnyFunction::new(Join)]
    }

    fn ephemeral_resources(&self) -> Vec<AnyEphemeral> {
        vec![AnyEphemeral::new(Token)]
    }
}

struct Note {
    world: Arc<World>,
}

/// Sizes mean the same when they are the same count of bytes.
fn same_size(prior: &Value, new: &Value) -> bool {
    let bytes = |value: &Value| {
        let text = value.as_str()?;
        let (digits, factor) = match text.strip_suffix("GiB") {
            Some(digits) => (digits, 1024),
            None => (text.strip_suffix("MiB")?, 1),
        };
        Some(digits.parse::<u64>().ok()? * factor)
    };
    bytes(prior).is_some() && bytes(prior) == bytes(new)
}

fn check_port(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Err(problem) = u16::decode(value, path) {
        diagnostics.push(problem);
    }
}

fn note_schema() -> Schema {
    let port = || Attribute::number("port").optional().description("A port.").validate(check_port);
    let size = || Attribute::string("size").optional().description("A size.").semantic_eq(same_size);
    let serial = || Attribute::string("serial").computed().description("Given by the world.");
    let version = std::env::var("FIXTURE_VERSION").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    Schema::new().version(version).description("A note.").attributes([
        Attribute::string("id").computed().description("Identity."),
        Attribute::string("name").required().requires_replace().description("Its name."),
        Attribute::string("text").optional().description("Its text."),
        size(),
        Attribute::string("mode").default("plain").one_of(&["plain", "fancy"]).description("How it looks."),
        Attribute::number("amount").optional().description("Any number."),
        port(),
        Attribute::string("etag").computed().unknown_on_update().description("Changes with every write."),
        Attribute::string("device")
            .computed()
            .unknown_when_changed(&["size"])
            .description("Depends on the size."),
        Attribute::string("secret_wo").optional().write_only().description("A secret."),
        Attribute::number("secret_wo_version").optional().description("Raise it to send the secret again."),
        Attribute::of("labels", Type::map(Type::String)).optional().description("Labels."),
        Attribute::of("tags", Type::set(Type::String)).optional().description("Tags."),
        Attribute::of("any", Type::Dynamic).optional().description("Anything."),
        Attribute::list_nested("disks", vec![size(), port(), serial()]).optional().description("Disks."),
        Attribute::map_nested("sites", vec![size(), serial()]).optional().description("Sites."),
        Attribute::set_nested("peers", vec![size(), port(), serial()]).optional().description("Peers."),
        Attribute::single_nested(
            "ssh",
            vec![port(), Attribute::string("user").default("root").description("User.")],
        )
        .optional()
        .description("How to get there."),
        Attribute::number("delay_ms").optional().description("How long a write takes."),
        Attribute::bool("busy").optional().description("Refuses to be removed."),
        Attribute::list_block("rule", vec![size(), port()]).description("Rules."),
        Attribute::map_block("zone", vec![port()]).description("Zones."),
    ])
}

/// Fills what only the world knows.
fn complete(state: &mut Value, id: &str) {
    state.set("id", id);
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    for (name, text) in [("etag", stamp.clone()), ("device", format!("/dev/note-{stamp}"))] {
        if state.get(name).is_unknown() {
            state.set(name, text);
        }
    }
    fill_serials(state);
}

fn fill_serials(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(serial) = members.get_mut("serial").filter(|serial| serial.is_unknown()) {
                *serial = Value::from("serial");
            }
            members.values_mut().for_each(fill_serials);
        }
        Value::List(elements) | Value::Set(elements) => elements.iter_mut().for_each(fill_serials),
        Value::Map(entries) => entries.values_mut().for_each(fill_serials),
        Value::Null
        | Value::Unknown(_)
        | Value::Bool(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Dynamic(_) => {}
    }
}

impl Note {
    async fn write(&self, mut state: Value, ctx: &Context) -> Result<Value, ApplyResult> {
        let delay = state.get("delay_ms").as_number().and_then(tfplugin::Number::to_u64).unwrap_or(0);
        let name = state.get("name").as_str().unwrap_or_default().to_owned();
        complete(&mut state, &format!("id-{name}"));
        ctx.record_state(&state);
        self.world.store(&state).map_err(ApplyResult::failed)?;
        if fault("panic_after_effect") {
            panic!("the fixture panics on demand");
        }
        event(&format!("write begins {name}"));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(delay)) => event(&format!("write ends {name}")),
            () = ctx.cancelled().cancelled() => {
                event(&format!("write stopped {name}"));
                let detail = format!("The note {name} was written, but not checked.");
                return Err(ApplyResult::failed(Diagnostic::error("Stopped", detail)));
            }
        }
        if fault("error_after_effect") {
            return Err(ApplyResult::failed(Diagnostic::error(
                "Half done",
                "The note was written, then it failed.",
            )));
        }
        Ok(state)
    }
}

/// What a misbehaving provider returns from an apply.
fn spoil(mut state: Value, config: &Value) -> ApplyResult {
    if fault("unknown_after_apply") {
        state.set("etag", Value::unknown());
    }
    if fault("differs_after_apply") {
        state.set("text", "something else");
    }
    if fault("wrong_type") {
        state.set("labels", 7_i64);
    }
    if fault("leak_write_only") {
        state.set("secret_wo", config.get("secret_wo").clone());
    }
    if fault("null_block") {
        state.set("rule", Value::Null);
    }
    if fault("missing_attribute")
        && let Value::Object(members) = &mut state
    {
        members.remove("mode");
    }
    if fault("success_without_state") {
        return ApplyResult::ok(Value::Null);
    }
    ApplyResult::ok(state)
}

impl Resource for Note {
    fn type_name(&self) -> String {
        "fixture_note".to_owned()
    }

    fn schema(&self) -> Schema {
        note_schema()
    }

    async fn validate(&self, config: &Value, _ctx: &Context) -> Diagnostics {
        let mut found = Diagnostics::new();
        if config.get("name").as_str() == Some("forbidden") {
            found.error_at(&Path::of("name"), "Name not allowed", "The name \"forbidden\" is not allowed.");
        }
        found
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        event(&format!("plan {:?} {}", req.action, req.config.get("name").as_str().unwrap_or("-")));
        let mut planned = req.proposed;
        if req.action == PlanAction::Create && planned.get("id").is_unknown() {
            planned.set("id", Value::Unknown(Refinements::prefix("id-")));
        }
        if fault("plan_changes_config") {
            planned.set("text", "planned differently");
        }
        if fault("plan_sets_not_computed") {
            planned.set("labels", Value::map([("a", "b")]));
        }
        let result = PlanResult::ok(planned).private(b"private".to_vec());
        if fault("bad_replace_path") {
            return result.replace(Path::of("disks").index(7));
        }
        if req.action == PlanAction::Delete {
            return result.warn(Diagnostic::warning("Removing a note", "The note will be gone."));
        }
        result
    }

    async fn create(&self, req: CreateRequest, ctx: &Context) -> ApplyResult {
        event(&format!("create {}", req.planned.get("name").as_str().unwrap_or_default()));
        if let Some(secret) = req.config.get("secret_wo").as_str() {
            event(&format!("secret of {} characters", secret.len()));
        }
        if fault("panic_in_create") {
            panic!("the fixture panics on demand");
        }
        if fault("refused_create") {
            return ApplyResult::failed(Diagnostic::error("Refused", "Nothing was made."));
        }
        match self.write(req.planned, ctx).await {
            Ok(state) => spoil(state, &req.config),
            Err(failed) => failed,
        }
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        event(&format!("read {}", req.state.get("id").as_str().unwrap_or_default()));
        if fault("read_error") {
            return ReadResult::failed(Diagnostic::error(
                "Cannot reach the world",
                "Nobody answers at 192.0.2.1.",
            ));
        }
        let id = req.state.get("id").as_str().unwrap_or_default();
        match self.world.load(id) {
            Ok(Some(found)) => ReadResult::ok(found),
            Ok(None) => ReadResult::gone(),
            Err(problem) => ReadResult::failed(problem),
        }
    }

    async fn update(&self, req: UpdateRequest, ctx: &Context) -> ApplyResult {
        event(&format!("update {}", req.planned.get("name").as_str().unwrap_or_default()));
        match self.write(req.planned, ctx).await {
            Ok(state) => spoil(state, &req.config),
            Err(failed) => failed,
        }
    }

    async fn delete(&self, req: DeleteRequest, _ctx: &Context) -> DeleteResult {
        let id = req.prior.get("id").as_str().unwrap_or_default();
        event(&format!("delete {id}"));
        if req.prior.get("busy").as_bool() == Some(true) && !fault("force_delete") {
            return DeleteResult::failed(Diagnostic::error(
                "Note is busy",
                format!("The note {id} is in use."),
            ));
        }
        let removed = self.world.file(id).map(fs::remove_file);
        match removed {
            Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                DeleteResult::failed(Diagnostic::error("Cannot remove", error.to_string()))
            }
            Ok(_) => DeleteResult::ok(),
            Err(problem) => DeleteResult::failed(problem),
        }
    }

    async fn import(&self, id: &str, _ctx: &Context) -> ImportResult {
        if !id.starts_with("id-") {
            let detail = format!("The id {id:?} is not one of a note; expected id-<name>.");
            return ImportResult::failed(Diagnostic::error("Malformed id", detail));
        }
        ImportResult::ok(Value::object([("id", id)]))
    }

    async fn upgrade(&self, version: i64, state: RawState, _ctx: &Context) -> UpgradeResult {
        event(&format!("upgrade {version}"));
        // Version 1 had the name under "title".
        let old = Type::object([("id", Type::String), ("title", Type::String), ("amount", Type::Number)]);
        state
            .decode(&old)
            .map(|old| {
                Value::object([
                    ("id", old.get("id").clone()),
                    ("name", old.get("title").clone()),
                    ("amount", old.get("amount").clone()),
                    ("mode", Value::from("plain")),
                ])
            })
            .map_err(Diagnostics::from)
            .into()
    }
}

/// A resource with nothing but defaults: what the traits do by themselves.
struct Plain;

impl Resource for Plain {
    fn type_name(&self) -> String {
        "fixture_plain".to_owned()
    }

    fn schema(&self) -> Schema {
        Schema::new()
            .attribute(Attribute::string("id").computed())
            .attribute(Attribute::string("text").optional())
    }

    async fn create(&self, req: CreateRequest, _ctx: &Context) -> ApplyResult {
        let mut state = req.planned;
        state.set("id", "plain");
        ApplyResult::ok(state)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        ReadResult::ok(req.state)
    }

    async fn update(&self, req: UpdateRequest, _ctx: &Context) -> ApplyResult {
        ApplyResult::ok(req.planned)
    }

    async fn delete(&self, _req: DeleteRequest, _ctx: &Context) -> DeleteResult {
        DeleteResult::ok()
    }
}

struct NoteText {
    world: Arc<World>,
}

impl DataSource for NoteText {
    fn type_name(&self) -> String {
        "fixture_note".to_owned()
    }

    fn schema(&self) -> Schema {
        Schema::new().attributes([
            Attribute::string("id").required().description("Which note."),
            Attribute::string("text").computed().description("Its text."),
        ])
    }

    async fn read(&self, config: Value, _ctx: &Context) -> DataResult {
        let found = config.reader().and_then(|config| {
            let id = config.required_str("id")?;
            let note = self.world.load(id)?;
            note.ok_or_else(|| config.error("id", "No such note", format!("There is no note {id}.")))
        });
        let with_text =
            |note: Value| Value::object([("id", note.get("id").clone()), ("text", note.get("text").clone())]);
        found.map(with_text).map_err(Diagnostics::from).into()
    }
}

struct Join;

impl Function for Join {
    fn name(&self) -> String {
        "join_all".to_owned()
    }

    fn signature(&self) -> Signature {
        let text = |name: &str| Parameter::new(name, Type::String).description("A text.");
        Signature::returning(Type::String)
            .summary("Joins texts.")
            .parameter(text("separator"))
            .variadic(text("parts"))
    }

    async fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let texts: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        match texts.split_first() {
            Some((separator, _)) if separator.len() > 3 => Err(FunctionError::argument(
                0,
                format!("The separator {separator:?} is longer than 3 characters."),
            )),
            Some((separator, parts)) => Ok(Value::from(parts.join(separator))),
            None => Err(FunctionError::new("There is no separator.")),
        }
    }
}

/// A model of its own, to show both traits.
struct Minted {
    user: String,
}

impl<'v> Decode<'v> for Minted {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        Ok(Minted { user: value.reader_at(path.clone())?.get("user")? })
    }
}

impl Encode for Minted {
    fn encode(&self) -> Value {
        Value::object([("user", self.user.clone()), ("token", format!("token-of-{}", self.user))])
    }
}

struct Token;

impl EphemeralResource for Token {
    fn type_name(&self) -> String {
        "fixture_token".to_owned()
    }

    fn schema(&self) -> Schema {
        Schema::new().attributes([
            Attribute::string("user").required().description("For whom."),
            Attribute::string("token").computed().sensitive().description("The token."),
        ])
    }

    async fn open(&self, config: Value, _ctx: &Context) -> OpenResult {
        match Minted::decode(&config, &Path::root()) {
            Ok(minted) => {
                event(&format!("open {}", minted.user));
                let renew_at = Some(SystemTime::now() + Duration::from_millis(300));
                OpenResult {
                    private: minted.user.clone().into_bytes(),
                    renew_at,
                    ..OpenResult::ok(minted.encode())
                }
            }
            Err(problem) => OpenResult::failed(problem),
        }
    }

    async fn renew(&self, private: Vec<u8>, _ctx: &Context) -> RenewResult {
        event(&format!("renew {}", String::from_utf8_lossy(&private)));
        RenewResult { private: Some(private), ..RenewResult::default() }
    }

    async fn close(&self, private: Vec<u8>, _ctx: &Context) -> Diagnostics {
        event(&format!("close {}", String::from_utf8_lossy(&private)));
        Diagnostics::new()
    }
}
