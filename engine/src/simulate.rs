// SPDX-License-Identifier: MPL-2.0
//! A model of two hosts, for property tests: it has state, it can be cut at any point, and it notices every loss of
//! data. Feature `testing`; never part of a program.
//!
//! It answers the very commands that the engine sends, in the words of the recorded samples (DRBD 8.4), so that a
//! property drives everything from the door of [`crate::run`] down to the parsers. It is no DRBD: what the real tools
//! do is shown by the samples and by the tests on real hosts.

mod filesystem;
mod lvm;
mod machine;
mod status;
mod tools;

pub use machine::{Content, Data, Disk, Lv, Machine, Metadata, Running, World};

use crate::host::{BlockDevice, Cmd, Host, HostError, Output, Process, Read};
use crate::meeting::{Knock, Meeting, Met, NoMeeting};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// When a run on the model is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Never.
    Never,
    /// Instead of the change with this number (from 0).
    Before(usize),
    /// Right after the change with this number.
    After(usize),
    /// Not at all, but the change with this number fails: a command exits 1, a file cannot be written.
    Fails(usize),
}

/// One host of the model, for one run.
#[derive(Debug)]
pub struct SimHost {
    world: Rc<RefCell<World>>,
    name: String,
    cut: Cut,
    changes: Cell<usize>,
    dead: Cell<bool>,
    clock: Cell<u64>,
}

impl SimHost {
    /// A run on a host that is cut at some point.
    pub fn new(world: &Rc<RefCell<World>>, name: &str, cut: Cut) -> Self {
        let (world, name) = (Rc::clone(world), name.to_owned());
        Self { world, name, cut, changes: Cell::new(0), dead: Cell::new(false), clock: Cell::new(0) }
    }

    /// How many changes this run made.
    pub fn changes(&self) -> usize {
        self.changes.get()
    }

    /// The run was cut.
    pub fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Carries out a change, unless the run is cut before it.
    fn change<T>(&self, carry_out: impl FnOnce(&mut World) -> T) -> Result<T, HostError> {
        self.alive()?;
        let number = self.changes.get();
        if self.cut == Cut::Before(number) {
            return Err(self.die());
        }
        if self.cut == Cut::Fails(number) {
            self.changes.set(number + 1);
            let reason = "No space left on device".to_owned();
            return Err(HostError::Os { what: "make a change".to_owned(), reason });
        }
        self.changes.set(number + 1);
        let result = carry_out(&mut self.world.borrow_mut());
        if self.cut == Cut::After(number) {
            return Err(self.die());
        }
        Ok(result)
    }

    fn die(&self) -> HostError {
        self.dead.set(true);
        HostError::Interrupted { by: "SIGKILL" }
    }

    fn alive(&self) -> Result<(), HostError> {
        if self.dead.get() { Err(self.die()) } else { Ok(()) }
    }
}

/// Scratch files on `/run` vanish with a reboot and mean nothing: writing them is no change.
fn is_scratch(path: &str) -> bool {
    path.starts_with("/run/")
}

impl Host for SimHost {
    fn run(&self, cmd: &Cmd) -> Result<Output, HostError> {
        self.alive()?;
        if tools::only_reads(cmd) {
            return Ok(tools::run(&mut self.world.borrow_mut(), &self.name, cmd));
        }
        match self.change(|world| tools::run(world, &self.name, cmd)) {
            Err(HostError::Os { .. }) => Ok(Output::of(1, "", "the model was asked to fail here\n")),
            outcome => outcome,
        }
    }

    fn program(&self, name: &'static str) -> Option<String> {
        Some(format!("/usr/sbin/{name}"))
    }

    fn node_name(&self) -> Result<String, HostError> {
        Ok(self.name.clone())
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        self.alive()?;
        let mut world = self.world.borrow_mut();
        if path == "/proc/sys/kernel/random/uuid" {
            return Ok(Some(format!("{:016x}-4000-8000-000000000000\n", world.fresh_number())));
        }
        Ok(world.machine(&self.name).read(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, HostError> {
        self.alive()?;
        Ok(self.world.borrow_mut().machine(&self.name).list(dir))
    }

    fn write(&self, path: &str, content: &str, _mode: u32) -> Result<(), HostError> {
        let write = |world: &mut World| {
            world.machine(&self.name).files.insert(path.to_owned(), content.to_owned());
        };
        if is_scratch(path) {
            self.alive()?;
            write(&mut self.world.borrow_mut());
            return Ok(());
        }
        self.change(write)
    }

    fn remove(&self, path: &str) -> Result<(), HostError> {
        let remove = |world: &mut World| {
            world.machine(&self.name).files.remove(path);
        };
        if is_scratch(path) {
            self.alive()?;
            remove(&mut self.world.borrow_mut());
            return Ok(());
        }
        self.change(remove)
    }

    fn block_device(&self, path: &str) -> Result<Option<BlockDevice>, HostError> {
        self.alive()?;
        Ok(self.world.borrow_mut().machine(&self.name).block_device(path))
    }

    fn first_data(&self, path: &str, end: Option<u64>, _: Read) -> Result<Option<u64>, HostError> {
        self.alive()?;
        let mut world = self.world.borrow_mut();
        if let Some(content) = filesystem::content_of(&mut world, &self.name, path, end.is_some()) {
            return Ok((content != Content::Blank).then_some(4096));
        }
        let data = world.machine(&self.name).disk(path).map(|disk| disk.data.clone());
        Ok(data.filter(|data| *data != Data::Zeroes).map(|_| 4096))
    }

    fn users_of(&self, device: &BlockDevice) -> Result<Vec<Process>, HostError> {
        self.alive()?;
        Ok(self
            .world
            .borrow_mut()
            .machine(&self.name)
            .processes
            .get(&device.number)
            .cloned()
            .unwrap_or_default())
    }

    fn is_directory(&self, path: &str) -> Result<bool, HostError> {
        self.alive()?;
        Ok(self.world.borrow_mut().machine(&self.name).directories.contains(path))
    }

    /// The network of the model is open.
    fn meet(&self, meeting: &Meeting) -> Result<Vec<Met>, NoMeeting> {
        self.alive()?;
        Ok(meeting.ways.iter().map(|_| Met { knock: Knock::Answered, heard: true }).collect())
    }

    fn checkpoint(&self) -> Result<(), HostError> {
        self.alive()
    }

    fn millis(&self) -> u64 {
        self.clock.get()
    }

    fn pause(&self, duration: Duration) {
        self.clock.set(self.clock.get() + u64::try_from(duration.as_millis()).unwrap_or(0));
    }
}
