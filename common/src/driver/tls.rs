//! Who is who: roles, identities, and what TLS is told about them.
//!
//! Both ends of every connection show a certificate of the cluster's authority.
//! What it says is all that a peer is trusted with: a client may not vote, and
//! shard 1 may not vote for shard 2, because its certificate names `s1`.
//!
//! TLS 1.3 only, with an explicit provider; early data is off on both sides,
//! since it can be replayed, and so is resumption, which would outlive a
//! certificate. The protocol's version travels as ALPN.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use crate::id::{CoordinatorId, Peer, ShardId};
use crate::message::codec;

/// What the holder of a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A program that runs transactions.
    Client,
    /// A shard server.
    Shard,
    /// A coordinator.
    Coordinator,
    /// A person or tool that looks after the cluster. Connects like a client.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Client, Role::Shard, Role::Coordinator, Role::Operator];

    fn word(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Shard => "shard",
            Role::Coordinator => "coordinator",
            Role::Operator => "operator",
        }
    }

    /// Whether it accepts connections.
    pub fn is_server(self) -> bool {
        match self {
            Role::Shard | Role::Coordinator => true,
            Role::Client | Role::Operator => false,
        }
    }

    /// The name that every certificate of this role carries.
    pub fn dns_name(self) -> String {
        format!("{}.synod", self.word())
    }

    /// The name that only this holder's certificate carries.
    pub fn dns_name_of(self, name: &str) -> String {
        format!("{name}.{}.synod", self.word())
    }

    /// The letter before a server's number in its name.
    fn letter(self) -> Option<char> {
        match self {
            Role::Shard => Some('s'),
            Role::Coordinator => Some('c'),
            Role::Client | Role::Operator => None,
        }
    }

    /// Whether a holder of this role may have this name: servers are called as
    /// their id prints, others by letters, digits and inner hyphens.
    ///
    /// # Errors
    /// [`CertError::Name`] if not.
    pub fn check_name(self, name: &str) -> Result<(), CertError> {
        let fits = match self.letter() {
            Some(letter) => name.strip_prefix(letter).is_some_and(|number| {
                number.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == number)
            }),
            None => {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                (1..=40).contains(&name.len())
                    && name.bytes().all(plain)
                    && !name.starts_with('-')
                    && !name.ends_with('-')
                    && name != "ca"
            }
        };
        let error = || CertError::Name { role: self, name: name.escape_default().to_string() };
        fits.then_some(()).ok_or_else(error)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Trouble with certificate files. Says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file is not there.
    #[error("{} does not exist; make it with `synod cert`, or point --certs at the folder that has it", .0.display())]
    Missing(PathBuf),
    /// A file can not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is not in PEM form or is damaged; issue it again", .0.display())]
    Unreadable(PathBuf),
    /// A file is there already and is not overwritten.
    #[error("{} exists already and is not overwritten; move it away first", .0.display())]
    Exists(PathBuf),
    /// The certificate's time is over, or has not begun.
    #[error("{} {what}; issue it again with the authority's key, or correct the clock", path.display())]
    NotValidNow {
        /// The certificate.
        path: PathBuf,
        /// "has expired" or "is not valid yet".
        what: &'static str,
    },
    /// It was signed by another authority than the one in `ca.pem`.
    #[error("{} was not issued by the authority in ca.pem beside it; issue it again", .0.display())]
    WrongAuthority(PathBuf),
    /// It names no role, or the key is not its key.
    #[error("{} {what}; issue it again", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A name that a certificate can not be issued for.
    #[error(
        "a {role} can not be called '{name}': shards are s1, s2, ..., coordinators c1, c2, ..., others a-z, 0-9 and hyphens, at most 40"
    )]
    Name {
        /// Its role.
        role: Role,
        /// The name, escaped.
        name: String,
    },
    /// The library that makes certificates failed.
    #[error("could not make a certificate: {0}")]
    Make(String),
}

impl CertError {
    pub(super) fn io(path: &Path, error: &io::Error) -> CertError {
        if error.kind() == io::ErrorKind::NotFound {
            return CertError::Missing(path.to_owned());
        }
        let error = io::Error::new(error.kind(), error.to_string());
        CertError::Io { path: path.to_owned(), error }
    }

    pub(super) fn made(error: &rcgen::Error) -> CertError {
        CertError::Make(error.to_string())
    }
}

/// A certificate with its key, and the authority that it trusts.
#[derive(Clone)]
pub struct Identity {
    role: Role,
    name: String,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    roots: Arc<RootCertStore>,
    path: PathBuf,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} {})", self.role, self.name)
    }
}

impl Identity {
    /// Reads `<name>.pem`, `<name>.key` and `ca.pem` from a directory, and
    /// checks that they fit together and are valid now.
    ///
    /// # Errors
    /// If not; the error names the file and says what to do.
    pub fn load(dir: &Path, name: &str) -> Result<Identity, CertError> {
        let identity = Identity::load_unchecked(dir, name)?;
        identity.check_valid(SystemTime::now())?;
        Ok(identity)
    }

    /// Reads an identity without asking whether it is valid now. A peer will
    /// refuse it if it is not; for tests of just that.
    ///
    /// # Errors
    /// If the files can not be read or do not fit together.
    pub fn load_unchecked(dir: &Path, name: &str) -> Result<Identity, CertError> {
        let path = dir.join(format!("{name}.pem"));
        let unusable = |what: String| CertError::Unusable { path: path.clone(), what };
        let chain = read_certificates(&path)?;
        let key_path = dir.join(format!("{name}.key"));
        let pem = fs::read(&key_path).map_err(|e| CertError::io(&key_path, &e))?;
        let key =
            PrivateKeyDer::from_pem_slice(&pem).map_err(|_| CertError::Unreadable(key_path))?;
        let ca_path = dir.join("ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(&ca_path)? {
            roots.add(certificate).map_err(|_| CertError::Unreadable(ca_path.clone()))?;
        }
        let shown = chain.first().and_then(PeerNames::of);
        let shown = shown.ok_or_else(|| unusable("names no role".into()))?;
        let identity = Identity {
            role: shown.role,
            name: shown.name,
            chain,
            key: Arc::new(key),
            roots: Arc::new(roots),
            path: path.clone(),
        };
        identity.client_config().map_err(|e| unusable(format!("can not be used: {e}")))?;
        Ok(identity)
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What it is called, such as `s1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of a server's identity, as its peers see it.
    pub fn node(&self) -> Option<Peer> {
        node_of(self.role, &self.name)
    }

    /// The secret key, to derive others from.
    pub(super) fn secret(&self) -> &[u8] {
        self.key.secret_der()
    }

    fn check_valid(&self, now: SystemTime) -> Result<(), CertError> {
        let path = || self.path.clone();
        let not_now = |what| CertError::NotValidNow { path: path(), what };
        let unusable = |what: String| CertError::Unusable { path: path(), what };
        let leaf = self.chain.first().ok_or_else(|| CertError::Unreadable(path()))?;
        let leaf = EndEntityCert::try_from(leaf).map_err(|e| unusable(e.to_string()))?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let verified = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.roots.roots,
            self.chain.get(1..).unwrap_or_default(),
            UnixTime::since_unix_epoch(since),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        match verified {
            Ok(_) => Ok(()),
            Err(webpki::Error::CertExpired { .. }) => Err(not_now("has expired")),
            Err(webpki::Error::CertNotValidYet { .. }) => Err(not_now("is not valid yet")),
            Err(webpki::Error::UnknownIssuer) => Err(CertError::WrongAuthority(path())),
            Err(error) => Err(unusable(format!("does not verify: {error}"))),
        }
    }

    /// What TLS is told when this identity dials.
    ///
    /// # Errors
    /// If the key is not the certificate's key.
    pub fn client_config(&self) -> Result<rustls::ClientConfig, rustls::Error> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![codec::ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_early_data = false;
        Ok(config)
    }

    /// What TLS is told when this identity is dialed.
    ///
    /// # Errors
    /// If the key is not the certificate's key.
    pub fn server_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            self.roots.clone(),
            provider(),
        )
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![codec::ALPN.to_vec()];
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let pem = fs::read(path).map_err(|e| CertError::io(path, &e))?;
    let unreadable = || CertError::Unreadable(path.to_owned());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| unreadable())?;
    if chain.is_empty() { Err(unreadable()) } else { Ok(chain) }
}

/// The role and name in a certificate that TLS has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNames {
    /// What its holder is.
    pub role: Role,
    /// What its holder is called.
    pub name: String,
}

impl PeerNames {
    /// Reads them; `None` if the certificate names no role of ours, or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<PeerNames> {
        let leaf = EndEntityCert::try_from(certificate).ok()?;
        let carries = |dns: String| {
            ServerName::try_from(dns)
                .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        };
        let mut roles = Role::ALL.into_iter().filter(|role| carries(role.dns_name()));
        let role = roles.next()?;
        if roles.next().is_some() {
            return None;
        }
        let suffix = format!(".{}", role.dns_name());
        let mut names = leaf.valid_dns_names().filter_map(|dns| dns.strip_suffix(&suffix));
        let name = names.next()?.to_owned();
        let sound = names.next().is_none()
            && role.check_name(&name).is_ok()
            && carries(role.dns_name_of(&name));
        drop(names);
        sound.then_some(PeerNames { role, name })
    }

    /// The id of a server.
    pub fn node(&self) -> Option<Peer> {
        node_of(self.role, &self.name)
    }
}

fn node_of(role: Role, name: &str) -> Option<Peer> {
    let number = || name.get(1..)?.parse().ok();
    match role {
        Role::Shard => number().map(|n| Peer::Shard(ShardId(n))),
        Role::Coordinator => number().map(|n| Peer::Coordinator(CoordinatorId(n))),
        Role::Client | Role::Operator => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::authority::{Authority, Validity};

    #[test]
    fn load_says_what_is_wrong() {
        let dir = crate::driver::test_dir("tls-load");
        let text = |name: &str| Identity::load(&dir, name).unwrap_err().to_string();
        assert!(text("s1").contains("s1.pem does not exist"), "{}", text("s1"));

        let authority = Authority::create(&dir).unwrap();
        let hour = Duration::from_secs(3600);
        let past = Validity { from: SystemTime::now() - 2 * hour, until: SystemTime::now() - hour };
        authority.issue_valid(Role::Shard, "s2", past).unwrap();
        assert!(text("s2").contains("s2.pem has expired"), "{}", text("s2"));
        assert!(Identity::load_unchecked(&dir, "s2").is_ok());

        let other = crate::driver::test_dir("tls-load-other");
        Authority::create(&other).unwrap().issue(Role::Shard, "s3").unwrap();
        fs::copy(other.join("s3.pem"), dir.join("s3.pem")).unwrap();
        assert!(text("s3").contains("s3.key does not exist"), "{}", text("s3"));
        fs::copy(other.join("s3.key"), dir.join("s3.key")).unwrap();
        assert!(text("s3").contains("not issued by the authority"), "{}", text("s3"));

        authority.issue(Role::Shard, "s4").unwrap();
        fs::copy(other.join("s3.key"), dir.join("s4.key")).unwrap();
        assert!(text("s4").contains("can not be used"), "{}", text("s4"));
        fs::write(dir.join("s4.pem"), "nonsense").unwrap();
        assert!(text("s4").contains("s4.pem is not in PEM form"), "{}", text("s4"));
        fs::remove_dir_all(&dir).unwrap();
        fs::remove_dir_all(&other).unwrap();
    }

    #[test]
    fn names_are_read_back_from_the_certificate() {
        let dir = crate::driver::test_dir("tls-names");
        let authority = Authority::create(&dir).unwrap();
        authority.issue(Role::Coordinator, "c12").unwrap();
        let identity = Identity::load(&dir, "c12").unwrap();
        assert_eq!(identity.node(), Some(Peer::Coordinator(CoordinatorId(12))));
        let ca = read_certificates(&dir.join("ca.pem")).unwrap();
        assert_eq!(PeerNames::of(&ca[0]), None);
        fs::remove_dir_all(&dir).unwrap();
    }
}
