# SPDX-License-Identifier: MPL-2.0
"""Runs a module of this collection with one SSH execution, whether or not pipelining is switched on.

All else is Ansible's own way to run a module, of which this is a subclass. Pipelining is off by default for the sake of
sudoers with requiretty; where sudo asks for a terminal, the module is run again without. The variable drbd_pipelining, false,
leaves the setting alone.

Not here: async, connections that are not ssh and become methods that are not sudo; for these the setting is left alone, too.
"""

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as Normal


class ActionModule(Normal):
    """Shared by all modules; meta/runtime.yml says so."""

    def run(self, tmp=None, task_vars=None):
        """Run the module, with pipelining first."""
        if not self._may_pipeline(task_vars or {}):
            return super().run(tmp, task_vars)
        self._connection.set_option("pipelining", True)
        try:
            result = super().run(tmp, task_vars)
        finally:
            self._connection.set_option("pipelining", False)
        return super().run(tmp, task_vars) if sudo_wants_a_terminal(result) else result

    def _may_pipeline(self, task_vars):
        """Whether to switch on what is not on already."""
        become = self._connection.become
        return (
            boolean(self._templar.template(task_vars.get("drbd_pipelining", True)))
            and not self._task.async_val
            and self._connection.transport == "ssh"
            and (become is None or become.name == "sudo")
            and not self._connection.get_option("pipelining")
        )


def sudo_wants_a_terminal(result):
    """Whether sudo has refused to start the module without a terminal. Its warnings, of a module that was started and lost, do not count."""
    lines = str(result.get("module_stderr", "")).lower().splitlines()
    silent = not str(result.get("module_stdout", "")).strip()
    refused = any(line.startswith("sudo: ") and ("tty" in line or "terminal" in line) for line in lines)
    return bool(result.get("failed")) and silent and refused
