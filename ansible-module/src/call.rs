// SPDX-License-Identifier: MPL-2.0
//! Finds out what was called: the module, its arguments, and Ansible's own keys.

use drbd_engine::run::Mode;
use drbd_schemas::args::Module;
use drbd_schemas::invalid::did_you_mean;
use serde_json::{Map, Value};

/// A module call, before its arguments are checked.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) module: Module,
    pub(crate) arguments: Value,
    pub(crate) mode: Mode,
    /// Ansible called, and shows the arguments that a reply gives back as `invocation`.
    pub(crate) wants_invocation: bool,
}

/// Why there is no call.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the input is not JSON: {0}")]
    NotJson(String),
    #[error("the input is not a JSON object")]
    NotAnObject,
    #[error("there is no module {found:?}; the modules are {known}{hint}")]
    UnknownModule { found: String, known: String, hint: String },
    #[error(
        "no module is named: neither _ansible_module_name in the input, nor the program's name, nor a subcommand"
    )]
    NoModule,
}

/// The module that a program name means: Ansible runs binary modules as `AnsiballZ_<name>`.
pub(crate) fn module_of_program(argv0: &str) -> Option<Module> {
    let name = argv0.rsplit('/').next()?;
    let name = name.strip_prefix("AnsiballZ_").unwrap_or(name);
    Module::by_name(name.strip_suffix(".py").unwrap_or(name))
}

/// Reads a call. `named` is what the program's name or a subcommand said.
pub(crate) fn read(input: &str, named: Option<Module>) -> Result<Call, CallError> {
    let value: Value = serde_json::from_str(input).map_err(|error| CallError::NotJson(error.to_string()))?;
    let Value::Object(members) = value else { return Err(CallError::NotAnObject) };
    let (ansible, arguments): (Map<_, _>, Map<_, _>) =
        members.into_iter().partition(|(key, _)| key.starts_with("_ansible_"));
    let flag = |key: &str| ansible.get(key).is_some_and(|value| value == true);
    let module = match ansible.get("_ansible_module_name").and_then(Value::as_str) {
        Some(name) => by_dotted_name(name)?,
        None => named.ok_or(CallError::NoModule)?,
    };
    Ok(Call {
        module,
        arguments: Value::Object(arguments),
        mode: Mode { check: flag("_ansible_check_mode"), diff: flag("_ansible_diff") },
        // Ansible 2.21 and later can say that it wants none; before, every module gave it.
        wants_invocation: !ansible.is_empty()
            && ansible.get("_ansible_inject_invocation").is_none_or(|value| value != false),
    })
}

fn by_dotted_name(name: &str) -> Result<Module, CallError> {
    let short = name.rsplit('.').next().unwrap_or(name);
    Module::by_name(short).ok_or_else(|| unknown(short))
}

/// The error for a module that does not exist.
pub(crate) fn unknown(found: &str) -> CallError {
    let names: Vec<&str> = Module::ALL.iter().map(|module| module.name()).collect();
    let hint = did_you_mean(found, names.iter().copied());
    CallError::UnknownModule {
        found: found.to_owned(),
        known: names.join(", "),
        hint: hint.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_three_ways() {
        let fqcn = r#"{"_ansible_module_name": "replivol.drbd.drbd_info", "_ansible_check_mode": true, "names": []}"#;
        let call = read(fqcn, Some(Module::DrbdResource)).unwrap();
        assert_eq!((call.module, call.mode.check), (Module::DrbdInfo, true));
        assert_eq!(call.arguments, serde_json::json!({ "names": [] }));
        assert_eq!(read("{}", Some(Module::DrbdWait)).unwrap().module, Module::DrbdWait);
        assert_eq!(module_of_program("/tmp/x/AnsiballZ_drbd_resource"), Some(Module::DrbdResource));
        assert_eq!(module_of_program("AnsiballZ_drbd_resource.py"), Some(Module::DrbdResource));
        assert_eq!(module_of_program("/usr/bin/drbd-host"), None);
    }

    #[test]
    fn ansibles_own_keys_are_no_arguments() {
        // As ansible-core 2.19 sends them with pipelining; a key of a later version is let pass, too.
        let input = r#"{"_ansible_module_name": "drbd_info", "_ansible_selinux_special_fs": ["nfs", "vfat"],
            "_ansible_tmpdir": null, "_ansible_remote_tmp": "~/.ansible/tmp", "_ansible_verbosity": 0,
            "_ansible_ignore_unknown_opts": false, "_ansible_of_another_version": {}, "names": ["r0"]}"#;
        let call = read(input, None).unwrap();
        assert_eq!(call.arguments, serde_json::json!({ "names": ["r0"] }));
    }

    #[test]
    fn a_bad_call_says_what_is_wrong() {
        assert!(matches!(read("{", None), Err(CallError::NotJson(_))));
        assert_eq!(read("[]", None).unwrap_err(), CallError::NotAnObject);
        assert_eq!(read("{}", None).unwrap_err(), CallError::NoModule);
        let error = read(r#"{"_ansible_module_name": "drbd_resourse"}"#, None).unwrap_err();
        assert!(error.to_string().contains("did you mean drbd_resource?"), "{error}");
    }
}
