//! Certificates: the shapes others rely on.

use x509_parser::prelude::*;

use super::*;
use crate::{KeyKind, certificate_fingerprint};

fn der(pem: &str) -> Vec<u8> {
    ::pem::parse(pem).unwrap().into_contents()
}

/// What every certificate under our CA must look like (RFC 5280 4.2, OpenSSL's strict mode).
fn check_leaf(der: &[u8], ca: &[u8]) {
    let (_, leaf) = X509Certificate::from_der(der).unwrap();
    let (_, ca) = X509Certificate::from_der(ca).unwrap();
    assert_eq!(leaf.version(), X509Version::V3);
    assert_eq!(leaf.issuer(), ca.subject());
    let basic = leaf.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && !basic.value.ca);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
    let find = |oid: &str| leaf.extensions().iter().find(|e| e.oid.to_id_string() == oid).map(|e| e.parsed_extension().clone());
    let ParsedExtension::AuthorityKeyIdentifier(aki) = find("2.5.29.35").unwrap() else { panic!("no authority key identifier") };
    let ski = ca.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    assert_eq!(aki.key_identifier.unwrap().0, ski.unwrap());
    assert!(find("2.5.29.14").is_some(), "subject key identifier");
    assert_eq!(leaf.raw_serial().len(), 16);
    assert!(leaf.raw_serial()[0] & 0x80 == 0);
}

#[tokio::test]
async fn the_ca_may_sign_certificates_and_nothing_else() {
    let house = House::sqlite().await;
    let der = der(&house.identity.ca_certificate_pem());
    let (_, ca) = X509Certificate::from_der(&der).unwrap();
    let basic = ca.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    let usage = ca.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign() && !usage.value.digital_signature());
    assert_eq!(ca.subject(), ca.issuer());
    let years = (ca.validity().not_after.timestamp() - house.clock.now().as_second()) / (365 * 86_400);
    assert_eq!(years, 30);
    assert_invalid(house.identity.read_certificate(&house.identity.ca_certificate_pem()), "certificate");
}

#[tokio::test]
async fn the_servers_certificate_stays_until_names_or_time_say_otherwise() {
    let house = House::sqlite().await;
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let first = house.identity.server_certificate(&names(&["GW.example.", "192.0.2.5", "[2001:db8::1]", "gw.example"])).await.unwrap();
    assert_eq!(first.names, ["127.0.0.1", "192.0.2.5", "2001:db8::1", "::1", "gw.example", "localhost"]);
    let blocks = ::pem::parse_many(&first.chain_pem).unwrap();
    assert_eq!(blocks.len(), 2);
    check_leaf(blocks[0].contents(), blocks[1].contents());
    let (_, leaf) = X509Certificate::from_der(blocks[0].contents()).unwrap();
    let san = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    let dns: Vec<_> = san.iter().filter_map(|n| if let GeneralName::DNSName(n) = n { Some(*n) } else { None }).collect();
    assert_eq!(dns, ["gw.example", "localhost"]);
    assert_eq!(san.iter().filter(|n| matches!(n, GeneralName::IPAddress(_))).count(), 4);
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(leaf.validity().not_before.timestamp() < house.clock.now().as_second());
    assert!(first.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));

    let same = house.another().await.server_certificate(&names(&["192.0.2.5", "gw.example", "2001:db8::1"])).await.unwrap();
    assert_eq!(same.chain_pem, first.chain_pem, "also after a restart");
    let more = house.identity.server_certificate(&names(&["gw.example", "other.example"])).await.unwrap();
    assert_ne!(more.chain_pem, first.chain_pem);
    house.advance((390 - 60) * 86_400 - 1);
    let still = house.identity.server_certificate(&names(&["gw.example", "other.example"])).await.unwrap();
    assert_eq!(still.chain_pem, more.chain_pem);
    house.advance(1);
    let renewed = house.identity.server_certificate(&names(&["gw.example", "other.example"])).await.unwrap();
    assert!(renewed.chain_pem != more.chain_pem && renewed.not_after > more.not_after);
    for bad in ["a b", "-", "a..b", "x/y", "é.example"] {
        let outcome = house.identity.server_certificate(&names(&[bad])).await;
        assert!(outcome.is_err() || bad == "-", "{bad}");
    }
}

#[tokio::test]
async fn device_certificates_have_the_shape_their_platform_gave_them() {
    let house = House::sqlite().await;
    let ca = der(&house.identity.ca_certificate_pem());
    let mut serials = Vec::new();
    for kind in [KeyKind::Rsa2048, KeyKind::EcdsaP256, KeyKind::EcdsaP256] {
        let issued = house.identity.issue_certificate(kind).await.unwrap();
        let leaf = der(&issued.certificate_pem);
        check_leaf(&leaf, &ca);
        assert_eq!(issued.fingerprint, certificate_fingerprint(&leaf));
        let (_, x509) = X509Certificate::from_der(&leaf).unwrap();
        serials.push(x509.raw_serial().to_vec());
        assert!(x509.extended_key_usage().unwrap().is_none() && x509.subject_alternative_name().unwrap().is_none());
        assert_eq!(x509.validity().not_after.timestamp(), at("2049-12-31T23:59:59Z").as_second());
        assert_eq!(der(&issued.public_key_pem), x509.public_key().raw);
        let facts = house.identity.read_certificate(&issued.certificate_pem).unwrap();
        assert!(facts.issued_here);
        assert_eq!((&facts.fingerprint, &facts.public_key_pem), (&issued.fingerprint, &issued.public_key_pem));
        assert_eq!((facts.not_before, facts.not_after), (issued.not_before, issued.not_after));
        match kind {
            KeyKind::Rsa2048 => {
                assert!(issued.private_key_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
                assert!(issued.public_key_pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
                assert!((450..=452).contains(&issued.public_key_pem.len()));
                let pair = aws_lc_rs::signature::RsaKeyPair::from_der(&der(&issued.private_key_pem)).unwrap();
                assert_eq!(pair.public_modulus_len(), 256);
                let params =
                    aws_lc_rs::signature::RsaPublicKeyComponents::<Vec<u8>>::from(aws_lc_rs::signature::KeyPair::public_key(&pair));
                assert!(x509.public_key().raw.windows(256).any(|w| w == params.n), "the pair belongs together");
            }
            KeyKind::EcdsaP256 => {
                let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
                let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(algorithm, &der(&issued.private_key_pem)).unwrap();
                let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
                assert!(x509.public_key().raw.ends_with(public.as_ref()));
            }
        }
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }
    serials.dedup();
    assert_eq!(serials.len(), 3);
}

#[tokio::test]
async fn what_others_bring_is_read_or_refused_with_the_reason() {
    let house = House::sqlite().await;
    let read = |text: &str| house.identity.read_certificate(text);
    let reason = |text: &str| read(text).unwrap_err().to_string();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let facts = read(&own.pem()).unwrap();
    assert!(!facts.issued_here && facts.fingerprint == certificate_fingerprint(own.der()), "self-signed and CA:TRUE are welcome");
    assert_eq!(facts.public_key_pem.replace('\r', ""), key.public_key_pem().replace('\r', ""));
    let surrounded = format!("subject=/CN=device\n{}\n\n", own.pem());
    assert_eq!(read(&surrounded).unwrap(), facts);
    let crlf = own.pem().replace('\r', "").replace('\n', "\r\n");
    assert_eq!(read(&crlf).unwrap(), facts);
    // One that names our CA as its issuer is not one of ours.
    let mut fake = rcgen::CertificateParams::default();
    fake.distinguished_name = rcgen::DistinguishedName::new();
    let ours = X509Certificate::from_der(&der(&house.identity.ca_certificate_pem())).unwrap().1.subject().to_string();
    fake.distinguished_name.push(rcgen::DnType::CommonName, ours.trim_start_matches("CN="));
    let fake = fake.self_signed(&key).unwrap();
    assert!(!read(&fake.pem()).unwrap().issued_here);

    assert!(reason("").contains("no PEM block"));
    assert!(reason("hello").contains("no PEM block"));
    assert!(reason(&format!("{}{}", own.pem(), own.pem())).contains("2 PEM blocks"));
    assert!(reason(&format!("{}{}", own.pem(), key.serialize_pem())).contains("private key"));
    assert!(reason(&key.serialize_pem()).contains("private key"));
    assert!(reason(&key.public_key_pem()).contains("PUBLIC KEY"));
    assert!(reason("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("not an X.509 certificate"));
    let mut trailing = own.der().to_vec();
    trailing.push(0);
    assert!(house.identity.read_certificate_der(&trailing).unwrap_err().to_string().contains("after its end"));
    assert!(reason(V1).contains("version 1"), "{}", reason(V1));
    assert!(reason(RSA_1024).contains("public key"), "{}", reason(RSA_1024));
    assert!(matches!(read(&"x".repeat(crate::CERTIFICATE_MAX + 1)), Err(Error::TooLarge { .. })));
    assert!(matches!(house.identity.read_certificate_der(&vec![0x30; crate::CERTIFICATE_MAX + 1]), Err(Error::TooLarge { .. })));
}

/// `openssl x509 -req` without extensions makes version 1.
const V1: &str = "-----BEGIN CERTIFICATE-----
MIIBJjCBzQIUOToXfszG5mXs6PqsULoExCIj5ZUwCgYIKoZIzj0EAwIwFTETMBEG
A1UEAwwKb2xkLWRldmljZTAgFw0yNjExMjIxOTU4MDdaGA8yMDgxMDgyNTE5NTgw
N1owFTETMBEGA1UEAwwKb2xkLWRldmljZTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABH0kFMZfXvmIZZL8krYHoDzYTuf5x9GZ1AFCuRv2O/MA3ziRlsKc0Y4vRFHG
Sf44CSvG0FgaaozKiLgskGspOIYwCgYIKoZIzj0EAwIDSAAwRQIgM0rGDxc0spYu
bh/l1ds7iaJwf/+x7MdOkZeVWCTk20oCIQCw2SxEjPVwYvzufEtOCUcaFS8RsKJD
sFpDMufXlzMP1A==
-----END CERTIFICATE-----";

/// `openssl req -x509 -newkey rsa:1024`.
const RSA_1024: &str = "-----BEGIN CERTIFICATE-----
MIIB/DCCAWWgAwIBAgIUQ+LtXzl8d8LdhvbrJo+awC9YHTUwDQYJKoZIhvcNAQEL
BQAwDzENMAsGA1UEAwwEd2VhazAgFw0yNjExMjIxOTU4MDdaGA8yMDgxMDgyNTE5
NTgwN1owDzENMAsGA1UEAwwEd2VhazCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkC
gYEArg87aAn333lwPNNhB4OB7vsVK7h+VRLkgYkVC/VBoYN9e19ts7W850gVrY1y
SHiLzOWhK1g3ifoZMn2g0FDkTzy5RpVbrY6Ky5MuRdNyRR88jdvc1PIq+Brn5Cz4
63Uxs/kqmmnVA6QJyI0DOrdKmJoN2kX4vcC3PemyIp0ecc0CAwEAAaNTMFEwHQYD
VR0OBBYEFFiIQAcoxXls9BB3M4sihay1UHyQMB8GA1UdIwQYMBaAFFiIQAcoxXls
9BB3M4sihay1UHyQMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADgYEA
Vc5QXC/S2GUWRHdSf0EdVy1pob79DyW/ng5Mi/u6HcXkque34dyQRlpSyUiFH42J
+ygWOXyTH2h0zt7hUnrxhV587lB2Trj618ZINfQn/ynYsxJEVXhGlWsDu7/38+vq
Fc1zuddO31VNzDJBEI76FQPOSSOIFHdoki9E7Mw/SIc=
-----END CERTIFICATE-----";
