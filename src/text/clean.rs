//! The cleaning rules that a recipe can name.

use std::borrow::Cow;

use super::spec::CleanRule;

/// Applies `rules` in order.
pub fn clean<'a>(rules: &[CleanRule], text: &'a str) -> Cow<'a, str> {
    let mut cleaned = Cow::Borrowed(text);
    for rule in rules {
        cleaned = match rule {
            CleanRule::Korean => replace_if(cleaned, |c| !is_kept_by_korean(c), korean),
            CleanRule::HtmlBreaks => replace_if(cleaned, |c| c == '<', html_breaks),
        };
    }
    cleaned
}

fn replace_if<'a>(
    text: Cow<'a, str>,
    found: fn(char) -> bool,
    rule: fn(&str) -> String,
) -> Cow<'a, str> {
    if text.contains(found) {
        Cow::Owned(rule(&text))
    } else {
        text
    }
}

/// `re.sub("[^ㄱ-ㅎㅏ-ㅣ가-힣0-9 ]", "", text)`, the course's.
fn korean(text: &str) -> String {
    text.chars().filter(|c| is_kept_by_korean(*c)).collect()
}

pub(super) fn is_kept_by_korean(c: char) -> bool {
    matches!(c, 'ㄱ'..='ㅎ' | 'ㅏ'..='ㅣ' | '가'..='힣' | '0'..='9' | ' ')
}

/// `re.sub(r"(?i)<br\s*/?>", " ", text)` with ASCII white space.
fn html_breaks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match break_len(rest.as_bytes()) {
            Some(len) => {
                out.push(' ');
                rest = &rest[len..];
            }
            None => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The length of the break at the start of `tag`, if there is one.
pub(super) fn break_len(tag: &[u8]) -> Option<usize> {
    if !tag.get(1..3)?.eq_ignore_ascii_case(b"br") {
        return None;
    }
    let mut at = 3 + tag[3..]
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    if tag.get(at) == Some(&b'/') {
        at += 1;
    }
    (tag.get(at) == Some(&b'>')).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_become_spaces_and_other_tags_stay() {
        let text = "good<br /><BR>bad<br/>x <b>y</b> <br";
        assert_eq!(
            clean(&[CleanRule::HtmlBreaks], text),
            "good  bad x <b>y</b> <br"
        );
    }
}
