//! The three mails. Programs read the token out of the first two: it stands alone after `token=`.

use identity::{ExposeSecret as _, Invitation, MailedSecret, account_name};
use notify::Mail;

pub(crate) fn activation(mailed: &MailedSecret, public_url: &str) -> Mail {
    let link = link(public_url, "activate", mailed);
    let text = format!(
        "Somebody, you we hope, registers this address at {public_url}.\n\nOpen this link to finish, until {}:\n\n{link}\n\n\
         If it was not you, leave this mail alone and nothing will happen.\n",
        mailed.expires.strftime("%H:%M UTC"),
    );
    Mail { to: mailed.email.clone(), subject: "Activate your account".to_owned(), text }
}

pub(crate) fn reset(mailed: &MailedSecret, public_url: &str) -> Mail {
    let link = link(public_url, "resetPassword", mailed);
    let text = format!(
        "Somebody, you we hope, has forgotten the password for {public_url}.\n\nOpen this link to choose a new one, until {}:\n\n{link}\n\n\
         If it was not you, leave this mail alone: your password has not changed.\n",
        mailed.expires.strftime("%H:%M UTC"),
    );
    Mail { to: mailed.email.clone(), subject: "Choose a new password".to_owned(), text }
}

/// No token in this one: who is invited signs in and accepts.
pub(crate) fn invitation(invitation: &Invitation, from: &str, public_url: &str) -> Mail {
    let text = format!(
        "{from} invites you to the account \"{}\" at {public_url}.\n\nSign in there with this address to accept or decline.\n\
         If you have no user there yet, register with this address first.\n",
        account_name(&invitation.tenant),
    );
    Mail { to: invitation.email.clone(), subject: "An invitation".to_owned(), text }
}

fn link(public_url: &str, what: &str, mailed: &MailedSecret) -> String {
    format!("{}/ui/auth#/{what}?token={}", public_url.trim_end_matches('/'), mailed.secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stands_alone_after_its_name() {
        let expires = "2026-01-01T10:15:00Z".parse().unwrap();
        let mailed = MailedSecret { email: "a@b.c".into(), secret: "abcdefgh12345678".into(), expires };
        for (mail, what) in [(activation(&mailed, "https://gw/"), "activate"), (reset(&mailed, "https://gw"), "resetPassword")] {
            assert!(mail.text.contains(&format!("\nhttps://gw/ui/auth#/{what}?token=abcdefgh12345678\n")), "{}", mail.text);
            assert!(mail.text.contains("10:15 UTC"));
        }
    }
}
