//! Where all schedules begin: with servers that have started and joined, and a client that has
//! a session. To copy them takes a fraction of what it takes to let them do that.

use std::cell::RefCell;
use std::rc::Rc;

use synod_common::id::SessionId;

use super::bug::Bug;
use super::client::Client;
use super::net::Links;
use super::server::Server;
use super::settings::Shape;
use super::world::World;
use crate::sim::rng::Rng;

/// What is copied.
#[derive(Debug)]
pub struct Template {
    /// The servers.
    pub servers: Vec<Server>,
    /// Their links; nothing is on its way.
    pub links: Links,
    /// The client's session.
    pub session: Option<SessionId>,
}

/// A template, for which cluster it is, and what is wrong in it.
type Known = (Shape, Option<Bug>, Rc<Template>);

thread_local! {
    /// Those of this thread.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

impl Template {
    /// The template for such a cluster.
    pub fn of(shape: Shape, bug: Option<Bug>) -> Rc<Template> {
        let known = KNOWN.with_borrow(|all| {
            let found = all.iter().find(|(of, with, _)| (*of, *with) == (shape, bug));
            found.map(|(.., template)| Rc::clone(template))
        });
        known.unwrap_or_else(|| {
            let template = Rc::new(Template::new(shape, bug));
            KNOWN.with_borrow_mut(|all| all.push((shape, bug, Rc::clone(&template))));
            template
        })
    }

    /// All start, and nothing goes wrong.
    fn new(shape: Shape, bug: Option<Bug>) -> Template {
        let mut world = World::empty(Rng::new(0), shape, bug);
        world.weights.aimed = 0;
        world.servers = (0..=shape.shards).map(|_| Server::new()).collect();
        let started = (0..=shape.shards).try_for_each(|site| world.restart(site)).and_then(|()| {
            world.settle()?;
            world.ask(|_, out| Client::open(out));
            world.settle()
        });
        if let Err(violation) = started {
            panic!("{violation}");
        }
        let World { servers, links, client: Client { session, .. }, .. } = world;
        Template { servers, links, session }
    }
}
