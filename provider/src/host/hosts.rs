// SPDX-License-Identifier: MPL-2.0
//! All hosts of one configured provider, with the facts that reads share.
//!
//! A refresh asks each host once, however many objects live there: the first read runs `drbd_info`, the others wait for
//! it. Whatever may change a host makes its facts stale, before and after. Decisions of an apply never use this cache:
//! they ask for [`Host::fresh_facts`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::{Code, Reply};
use drbd_ssh::{ExecOutput, Target};
use serde_json::Map;

use super::{Connector, HostLink, LinkError, Request, Spot, Trouble};

/// Time for taking the facts of a host with many resources.
const INFO_DEADLINE: Duration = Duration::from_secs(60);

/// The hosts of one configuration. Nobody is contacted before something is asked.
pub(crate) struct Hosts {
    connector: Arc<dyn Connector>,
    hosts: Mutex<HashMap<Target, Arc<Host>>>,
}

impl Hosts {
    /// No host yet.
    pub(crate) fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, hosts: Mutex::default() }
    }

    /// The host of a target; the same one for equal targets.
    pub(crate) fn host(&self, target: &Target) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(target.clone()).or_insert_with(|| {
            Arc::new(Host {
                spot: Spot(target).to_string(),
                link: self.connector.link(target),
                changes: AtomicU64::new(0),
                facts: tokio::sync::Mutex::new(None),
            })
        });
        Arc::clone(host)
    }
}

/// One host.
pub(crate) struct Host {
    spot: String,
    link: Arc<dyn HostLink>,
    /// Counts what may have changed the host.
    changes: AtomicU64,
    /// The last facts asked for by a read, with the count at which they were taken. A failure is kept too: a hundred
    /// objects on a dead host shall not wait for it a hundred times.
    facts: tokio::sync::Mutex<Option<(u64, Looked)>>,
}

type Looked = Result<Arc<HostFacts>, Trouble>;

impl Host {
    /// How messages name it.
    pub(crate) fn spot(&self) -> &str {
        &self.spot
    }

    /// Facts for a read: taken once, shared until something changes the host.
    pub(crate) async fn facts(&self) -> Looked {
        let mut cached = self.facts.lock().await;
        let now = self.changes.load(Ordering::Acquire);
        if let Some((then, looked)) = cached.as_ref()
            && *then == now
        {
            return looked.clone();
        }
        let looked = self.fresh_facts(&[]).await.map(Arc::new);
        *cached = Some((now, looked.clone()));
        looked
    }

    /// Facts as they are now, for a decision; of these resources only, or of all when none is named. Naming them spares the
    /// host from opening the devices of all others.
    pub(crate) async fn fresh_facts(&self, names: &[&str]) -> Result<HostFacts, Trouble> {
        let arguments = match names {
            [] => Map::new(),
            names => Map::from_iter([("names".to_owned(), names.into())]),
        };
        let request = Request::new(Module::DrbdInfo, arguments, INFO_DEADLINE);
        let mut reply = self.run(&request).await?;
        match reply.facts.take() {
            Some(facts) => Ok(facts),
            None => {
                reply.code = Code::Bug;
                reply.msg = format!("{} (the reply of drbd_info has no facts)", reply.msg);
                Err(Trouble::Reply(Box::new(reply)))
            }
        }
    }

    /// The verified keys of the host and of the bastions on the way to it, as lines of `known_hosts`.
    pub(crate) async fn known_hosts(&self) -> Result<Vec<String>, Trouble> {
        self.link.known_hosts().await.map_err(Trouble::Link)
    }

    /// Runs a program that only looks.
    pub(crate) async fn look(&self, argv: &[&str], deadline: Duration) -> Result<ExecOutput, LinkError> {
        self.link.look(argv, deadline).await
    }

    /// Runs a module; a reply that says `failed` is an error.
    pub(crate) async fn run(&self, request: &Request) -> Result<Reply, Trouble> {
        let changing = !request.only_looks();
        if changing {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        let reply = self.link.run(request).await;
        if changing {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        let reply = reply.map_err(Trouble::Link)?;
        if reply.failed { Err(Trouble::Reply(Box::new(reply))) } else { Ok(reply) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Later;
    use drbd_ssh::SshError;

    /// Answers after a moment, and counts.
    #[derive(Default)]
    struct Counting {
        infos: AtomicU64,
        dead: bool,
    }

    impl HostLink for Counting {
        fn run<'a>(&'a self, request: &'a Request) -> Later<'a, Result<Reply, LinkError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if request.module == Module::DrbdInfo {
                    self.infos.fetch_add(1, Ordering::SeqCst);
                }
                if self.dead {
                    return Err(SshError::Unresolvable { host: "h1".into(), last: "no".into() }.into());
                }
                Ok(Reply { facts: Some(facts()), ..Reply::default() })
            })
        }

        fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn look<'a>(
            &'a self,
            _: &'a [&'a str],
            _: Duration,
        ) -> Later<'a, Result<drbd_ssh::ExecOutput, LinkError>> {
            Box::pin(async { Ok(drbd_ssh::ExecOutput { code: 127, stdout: Vec::new(), stderr: Vec::new() }) })
        }
    }

    fn facts() -> HostFacts {
        serde_json::from_value(serde_json::json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6", "drbd": {}, "resources": {}, "volume_groups": {},
            "ports_in_use": [], "minors_in_use": [], "drbd_host": "0.1.0",
        }))
        .unwrap()
    }

    struct One(Arc<Counting>);

    impl Connector for One {
        fn link(&self, _: &Target) -> Arc<dyn HostLink> {
            Arc::clone(&self.0) as Arc<dyn HostLink>
        }
    }

    fn hosts(dead: bool) -> (Arc<Counting>, Hosts) {
        let link = Arc::new(Counting { dead, ..Counting::default() });
        (Arc::clone(&link), Hosts::new(Arc::new(One(link))))
    }

    async fn read_at_once(hosts: &Hosts, count: usize) -> usize {
        let target = Target::new("10.0.0.1", "root");
        let reads = (0..count).map(|_| {
            let host = hosts.host(&target);
            tokio::spawn(async move { host.facts().await.is_ok() })
        });
        let mut good = 0;
        for read in reads.collect::<Vec<_>>() {
            good += usize::from(read.await.unwrap());
        }
        good
    }

    #[tokio::test]
    async fn any_number_of_reads_asks_once() {
        let (link, hosts) = hosts(false);
        assert_eq!(read_at_once(&hosts, 100).await, 100);
        assert_eq!(read_at_once(&hosts, 10).await, 10);
        assert_eq!(link.infos.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_dead_host_is_asked_once_too() {
        let (link, hosts) = hosts(true);
        assert_eq!(read_at_once(&hosts, 50).await, 0);
        assert_eq!(link.infos.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_change_makes_facts_stale_and_a_look_does_not() {
        let (link, hosts) = hosts(false);
        let host = hosts.host(&Target::new("10.0.0.1", "root"));
        let run = |module, check: bool| {
            let request = Request::new(module, Map::new(), INFO_DEADLINE);
            if check { request.checking() } else { request }
        };
        host.facts().await.unwrap();
        host.run(&run(Module::DrbdWait, false)).await.unwrap();
        host.run(&run(Module::DrbdResource, true)).await.unwrap();
        host.facts().await.unwrap();
        assert_eq!(link.infos.load(Ordering::SeqCst), 1);
        host.run(&run(Module::DrbdResource, false)).await.unwrap();
        host.facts().await.unwrap();
        assert_eq!(link.infos.load(Ordering::SeqCst), 2);
    }
}
