//! The certificate authority of a cluster: a key that signs who is who.
//!
//! ```text
//!   certs/ca.pem ca.key        made once; ca.key may be taken off the machine
//!   certs/s1.pem s1.key        issue(Role::Shard, "s1")
//! ```
//!
//! A certificate carries its holder's role and name as two DNS names,
//! `shard.synod` and `s1.shard.synod`: TLS libraries know how to check a DNS
//! name, and a dialer that wants shard 1 asks for `s1.shard.synod` and nothing
//! else. These names are never looked up anywhere.
//!
//! *Deliberately absent*: revocation lists. Certificates are short-lived next to
//! the authority, and a stolen key is answered by a new authority.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::tls::{CertError, Role};

/// How long an authority is valid.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a certificate is valid, unless stated otherwise.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates start this far in the past, for machines whose clock is behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: SystemTime,
    /// Not after.
    pub until: SystemTime,
}

impl Validity {
    /// From an hour ago until `lifetime` from now.
    pub fn of(lifetime: Duration) -> Validity {
        let now = SystemTime::now();
        Validity { from: now - CLOCK_SKEW, until: now + lifetime }
    }
}

/// The authority of a cluster, with its key.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority and writes `ca.pem` and `ca.key`.
    ///
    /// # Errors
    /// If there already is one in the directory, or the files can not be written.
    pub fn create(dir: &Path) -> Result<Authority, CertError> {
        fs::create_dir_all(dir).map_err(|e| CertError::io(dir, &e))?;
        if dir.join("ca.key").exists() || dir.join("ca.pem").exists() {
            return Err(CertError::Exists(dir.join("ca.pem")));
        }
        let key = KeyPair::generate().map_err(|e| CertError::made(&e))?;
        let mut params = authority_params(&key);
        set_validity(&mut params, Validity::of(AUTHORITY_LIFETIME));
        let certificate = params.self_signed(&key).map_err(|e| CertError::made(&e))?;
        write_new(&dir.join("ca.key"), &key.serialize_pem(), true)?;
        write_new(&dir.join("ca.pem"), &certificate.pem(), false)?;
        Ok(Authority { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Reads the authority of a directory.
    ///
    /// # Errors
    /// If there is none, or it can not be read.
    pub fn open(dir: &Path) -> Result<Authority, CertError> {
        let path = dir.join("ca.key");
        let pem = fs::read_to_string(&path).map_err(|e| CertError::io(&path, &e))?;
        let key = KeyPair::from_pem(&pem).map_err(|_| CertError::Unreadable(path))?;
        let params = authority_params(&key);
        Ok(Authority { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Issues a certificate for a year and writes `<name>.pem` and `<name>.key`.
    ///
    /// # Errors
    /// If the name is not fit, already has a certificate, or the files can not
    /// be written.
    pub fn issue(&self, role: Role, name: &str) -> Result<(), CertError> {
        self.issue_valid(role, name, Validity::of(LEAF_LIFETIME))
    }

    /// Issues a certificate with a stated validity.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_valid(&self, role: Role, name: &str, validity: Validity) -> Result<(), CertError> {
        role.check_name(name)?;
        let key = KeyPair::generate().map_err(|e| CertError::made(&e))?;
        let names = vec![role.dns_name(), role.dns_name_of(name)];
        let mut params = CertificateParams::new(names).map_err(|e| CertError::made(&e))?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("{name} ({role})"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role.is_server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        set_validity(&mut params, validity);
        let certificate = params.signed_by(&key, &self.issuer).map_err(|e| CertError::made(&e))?;
        let path = self.dir.join(format!("{name}.pem"));
        if path.exists() {
            return Err(CertError::Exists(path));
        }
        write_new(&self.dir.join(format!("{name}.key")), &key.serialize_pem(), true)?;
        write_new(&path, &certificate.pem(), false)
    }
}

/// What an authority's certificate says. It follows from the key alone, so that
/// opening an authority needs no parser for certificates; the name differs from
/// authority to authority so that a foreign one is recognized as foreign.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let print = xxhash_rust::xxh3::xxh3_64(key.public_key_raw());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Synod CA {print:016x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    params.not_before = time::OffsetDateTime::from(validity.from);
    params.not_after = time::OffsetDateTime::from(validity.until);
}

/// Writes a file that must not exist yet; only its owner may read a secret one.
fn write_new(path: &Path, text: &str, secret: bool) -> Result<(), CertError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path).map_err(|e| CertError::io(path, &e))?;
    file.write_all(text.as_bytes()).map_err(|e| CertError::io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tls::Identity;

    #[test]
    fn issues_what_identity_can_load() {
        let dir = crate::driver::test_dir("authority");
        Authority::create(&dir).unwrap();
        let authority = Authority::open(&dir).unwrap();
        authority.issue(Role::Shard, "s1").unwrap();
        authority.issue(Role::Client, "alice").unwrap();
        let s1 = Identity::load(&dir, "s1").unwrap();
        assert_eq!((s1.role(), s1.name()), (Role::Shard, "s1"));
        assert_eq!(Identity::load(&dir, "alice").unwrap().role(), Role::Client);

        assert!(matches!(Authority::create(&dir), Err(CertError::Exists(_))));
        assert!(matches!(authority.issue(Role::Shard, "s1"), Err(CertError::Exists(_))));
        for bad in ["", "1", "x1", "s0", "s01", "s70000", "S1", "s1.x"] {
            let refused = authority.issue(Role::Shard, bad);
            assert!(matches!(refused, Err(CertError::Name { .. })), "{bad}");
        }
        for bad in ["", "a.b", "*", "Ä", "-a", "a b", "../x", "ca"] {
            assert!(authority.issue(Role::Client, bad).is_err(), "{bad}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = crate::driver::test_dir("authority-mode");
        Authority::create(&dir).unwrap().issue(Role::Operator, "ops").unwrap();
        for name in ["ca.key", "ops.key"] {
            let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
