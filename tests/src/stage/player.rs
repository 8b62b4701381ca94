//! Plays a script: named transactions that do one thing after another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use goldenscript::{Command, Runner};
use synod_client::{Client, Escaped, Isolation, Options, Txn, Value};
use synod_common::deadlock::Scheme;
use synod_common::id::{CoordinatorId, TxnId};
use synod_common::key::Key;

use super::cluster::Cluster;

/// A cluster, the transactions of a script, and what they have to say.
///
/// ```text
///   cluster split=h,p          three shards; without it, two: a..m and m..
///   put a 1                    a transaction of its own
///   get a                      a snapshot of now
///   t1: begin snapshot         serializable, if no level is named
///   t1: get a                  also get-for-update
///   t1: scan a c               a range
///   t1: put a 1, delete a
///   t1: commit, abort
///   wait 100                   milliseconds
///   lose 1                     the next reply, as when a link goes down
///   locks                      the lock tables
/// ```
pub struct Player {
    cluster: Cluster,
    database: Client,
    actors: BTreeMap<String, Actor>,
    names: BTreeMap<TxnId, String>,
    /// What ended, and how: the actor and what it did.
    told: Rc<RefCell<Vec<(String, String)>>>,
    scheme: Scheme,
}

#[derive(Default)]
struct Actor {
    txn: Option<Rc<Txn>>,
    busy: Rc<RefCell<Option<String>>>,
}

impl Player {
    /// A cluster that deals with deadlocks in this way.
    pub fn of(scheme: Scheme) -> Player {
        Player::new(&["m"], scheme)
    }

    /// A cluster whose shards begin at the first key and at `split`.
    fn new(split: &[&str], scheme: Scheme) -> Player {
        let cluster = Cluster::start(split, scheme);
        let database = Client::over(cluster.net.clone(), CoordinatorId(1));
        Player {
            cluster,
            database,
            actors: BTreeMap::new(),
            names: BTreeMap::new(),
            told: Rc::default(),
            scheme,
        }
    }

    /// Does something for an actor, until it is done or waits.
    fn act(
        &mut self,
        name: &str,
        what: String,
        work: impl Future<Output = String> + 'static,
    ) -> Result<(), Box<dyn Error>> {
        let actor = self.actors.entry(name.to_owned()).or_default();
        if let Some(busy) = &*actor.busy.borrow() {
            return Err(format!("{name} still waits for {busy}").into());
        }
        *actor.busy.borrow_mut() = Some(what);
        let (busy, told, name) = (actor.busy.clone(), self.told.clone(), name.to_owned());
        self.cluster.executor.spawn(Box::pin(async move {
            let result = work.await;
            *busy.borrow_mut() = None;
            told.borrow_mut().push((name, result));
        }));
        Ok(())
    }

    fn command(&mut self, command: &Command, name: &str) -> Result<(), Box<dyn Error>> {
        let mut args = command.consume_args();
        let words: Vec<String> = args.rest_pos().iter().map(|arg| arg.value.clone()).collect();
        args.reject_rest()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let what = std::iter::once(&command.name[..]).chain(words.iter().copied());
        let what = what.collect::<Vec<_>>().join(" ");
        let database = self.database.clone();
        match (&command.name[..], &words[..]) {
            ("begin", levels) => {
                let level = levels.first().map_or(Ok(Isolation::default()), |name| name.parse())?;
                let slot: Rc<RefCell<Option<Txn>>> = Rc::default();
                let begun = slot.clone();
                self.act(name, what, async move {
                    match database.begin(Options::new().isolation(level)).await {
                        Ok(txn) => {
                            *slot.borrow_mut() = Some(txn);
                            String::new()
                        }
                        Err(error) => error.to_string(),
                    }
                })?;
                self.cluster.settle();
                let txn = begun.borrow_mut().take().ok_or("begin does not end")?;
                self.names.insert(txn.id(), name.to_owned());
                if let Some(actor) = self.actors.get_mut(name) {
                    actor.txn = Some(Rc::new(txn));
                }
                Ok(())
            }
            ("commit", []) => {
                let txn = self.actors.get_mut(name).and_then(|actor| actor.txn.take());
                let txn = Rc::into_inner(txn.ok_or("no transaction")?).ok_or("still in use")?;
                self.act(name, what, async move {
                    match txn.commit().await {
                        Ok(_) => "committed".to_owned(),
                        Err(error) => error.to_string(),
                    }
                })
            }
            ("abort", []) => {
                let actor = self.actors.get_mut(name).ok_or("no transaction")?;
                actor.txn.take().ok_or("no transaction")?;
                Ok(())
            }
            (_, words) => {
                let txn = self.actors.get(name).and_then(|actor| actor.txn.clone());
                let txn = txn.ok_or("no transaction; begin one")?;
                let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
                let verb = command.name.clone();
                self.act(name, what, async move {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    perform(&txn, &verb, &words).await.unwrap_or_else(|error| error)
                })
            }
        }
    }

    /// What is said without the name of a transaction.
    fn aside(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let split: Option<String> = args.lookup_parse("split")?;
        let words: Vec<String> = args.rest_pos().iter().map(|arg| arg.value.clone()).collect();
        args.reject_rest()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let database = self.database.clone();
        match (&command.name[..], &words[..]) {
            ("cluster", []) => {
                let split = split.unwrap_or_default();
                let split: Vec<&str> = split.split(',').filter(|key| !key.is_empty()).collect();
                *self = Player::new(&split, self.scheme);
            }
            ("put", [key, value]) => {
                let (key, value) = (Key::from(*key), value.as_bytes().to_vec());
                self.act("", String::new(), async move {
                    let done = database.put_bytes(&key, value).await;
                    done.map_or_else(|error| error.to_string(), |()| String::new())
                })?;
            }
            ("get", [key]) => {
                let key = Key::from(*key);
                self.act("", String::new(), async move {
                    database
                        .get(&key)
                        .await
                        .map_or_else(|error| error.to_string(), |value| shown(&value))
                })?;
            }
            ("lose", [replies]) => self.cluster.lose(replies.parse()?),
            ("wait", [millis]) => self.cluster.pass(Duration::from_millis(millis.parse()?)),
            ("locks", []) => {
                let mut text = String::new();
                for (i, shard) in self.cluster.shards().enumerate() {
                    for line in shard.locks().dump().lines() {
                        writeln!(text, "s{}: {line}", i + 1)?;
                    }
                }
                return Ok(text);
            }
            _ => return Err(format!("no such command: {}", command.name).into()),
        }
        Ok(String::new())
    }

    /// What has been said, with the names of the script. When nobody in particular
    /// did something, by name: how fast a message goes is no matter for a script.
    fn hear(&mut self, now: &str, text: &mut String) {
        let mut told = self.told.take();
        if now.is_empty() {
            told.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        for (name, result) in told {
            match name.as_str() {
                _ if result.is_empty() => {}
                name if name == now => text.push_str(&format!("{result}\n")),
                name => text.push_str(&format!("{name} goes on: {result}\n")),
            }
        }
    }

    fn rename(&self, text: &str) -> String {
        // The longest first, so that t1.1.12 is not taken for t1.1.1.
        let mut names: Vec<_> =
            self.names.iter().map(|(id, name)| (id.to_string(), name)).collect();
        names.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        names.into_iter().fold(text.to_owned(), |text, (id, name)| text.replace(&id, name))
    }
}

impl Runner for Player {
    fn run(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let name = command.prefix.clone().unwrap_or_default();
        let mut text = String::new();
        if name.is_empty() {
            text = self.aside(command)?;
        } else {
            self.command(command, &name)?;
        }
        self.cluster.settle();
        self.hear(&name, &mut text);
        let waits = self.actors.get(&name).is_some_and(|actor| actor.busy.borrow().is_some());
        if waits {
            text.push_str("waits\n");
        }
        Ok(self.rename(&text))
    }
}

/// Does one thing within a transaction.
async fn perform(txn: &Txn, verb: &str, words: &[&str]) -> Result<String, String> {
    let failed = |error: synod_client::Error| error.to_string();
    match (verb, words) {
        ("get", [key]) => txn.get(*key).await.map(|value| shown(&value)).map_err(failed),
        ("get-for-update", [key]) => {
            txn.get_for_update(*key).await.map(|value| shown(&value)).map_err(failed)
        }
        ("scan", [start, end]) => {
            let range = Key::from(*start)..Key::from(*end);
            let rows = txn.scan(range).collect().await.map_err(failed)?;
            let rows = rows.iter().map(|row| format!("{} = {}", row.key, Escaped(&row.value)));
            let rows = rows.collect::<Vec<_>>().join(", ");
            Ok(if rows.is_empty() { "no rows".to_owned() } else { rows })
        }
        ("put", [key, value]) => {
            txn.put_bytes(*key, value.as_bytes().to_vec()).map_err(failed).map(|()| String::new())
        }
        ("delete", [key]) => txn.delete(*key).map_err(failed).map(|()| String::new()),
        _ => Err(format!("no such command: {verb} {words:?}")),
    }
}

fn shown(value: &Value) -> String {
    let key = value.key();
    value.bytes().map_or(format!("{key} is absent"), |bytes| format!("{key} = {}", Escaped(bytes)))
}
