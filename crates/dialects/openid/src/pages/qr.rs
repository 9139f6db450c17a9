//! A QR code as SVG, inline: no script, no picture to fetch.

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of quiet around the code (ISO/IEC 18004 asks for four).
const QUIET: i32 = 4;

/// The text's code as an `svg` element, dark on white whatever the page's colours are; nothing when it is too long for one.
pub(super) fn svg(text: &str, label: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return String::new() };
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let begin = x;
            while x < code.size() && code.get_module(x, y) {
                x += 1;
            }
            if x > begin {
                path.push_str(&format!("M{} {}h{}v1h-{}z", begin + QUIET, y + QUIET, x - begin, x - begin));
            } else {
                x += 1;
            }
        }
    }
    let side = code.size() + 2 * QUIET;
    format!(
        "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_or_left_out() {
        let drawn = svg("otpauth://totp/x?secret=ABC", "code");
        assert!(drawn.starts_with("<svg") && drawn.contains("aria-label=\"code\"") && drawn.ends_with("</svg>"), "{drawn}");
        // The finder pattern in the upper left corner: seven dark modules.
        assert!(drawn.contains("M4 4h7v1h-7z"));
        assert_eq!(svg(&"x".repeat(5_000), "code"), "");
    }
}
