//! A source file taken apart: the code without its words, and the words without the code.
//!
//! This is a lexer of just what tells code from comments and texts. Both halves keep every byte at its place,
//! with blanks for what belongs to the other, so that an offset into one is an offset into all.

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is, from the root of the repository.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The code: comments are blank, and texts and characters are empty between their quotes.
    pub(crate) code: String,
    /// The comments alone, documentation among them.
    pub(crate) comments: String,
}

impl Source {
    /// Takes a text apart; a file that is not Rust is all code.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) =
            if path.ends_with(".rs") { split(text) } else { (text.to_owned(), String::new()) };
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    /// Returns whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Returns the number of the line that an offset is in, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
    }

    /// Returns whether a comment on this line or on the `above` lines before it satisfies `accept`.
    pub(crate) fn has_comment_near(&self, line: usize, above: usize, accept: impl Fn(&str) -> bool) -> bool {
        let first = line.saturating_sub(above + 1);
        let mut near = self.comments.lines().skip(first).take(line - first);
        near.any(|comment| !comment.trim().is_empty() && accept(comment))
    }
}

/// Returns where `word` stands as a word of its own: no letter, digit or underscore beside it.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Returns whether a character can be part of an identifier.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the offset behind the bracket that closes the one at `open`, if it is closed.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in code[open..].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Splits a text into code and comments.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
    let (mut code, mut comments) = (blank.clone(), blank);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let in_word = at > 0 && is_word(char::from(bytes[at - 1]));
        let end;
        if let Some(length) = comment(rest) {
            end = at + length;
            comments[at..end].copy_from_slice(&bytes[at..end]);
        } else if let Some(length) = text_literal(rest, in_word) {
            end = (at + length).min(bytes.len());
            // The quotes stay, so that `""` is still seen to be a value.
            code[at] = b'"';
            code[end - 1] = b'"';
        } else {
            end = at + 1;
            code[at] = bytes[at];
        }
        at = end;
    }
    // Characters are blanked or copied whole, so nothing is lost here.
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

/// Returns the length of the comment that `rest` begins with.
fn comment(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// Returns the length of the text or character that `rest` begins with, quotes included.
fn text_literal(rest: &[u8], in_word: bool) -> Option<usize> {
    match rest[0] {
        b'"' => Some(quoted(rest)),
        b'\'' => character(rest),
        b'r' | b'b' | b'c' if !in_word => raw(rest),
        _ => None,
    }
}

/// Returns the length of an ordinary text.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the length of a character, or nothing where the quote begins a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    if first == b'\\' {
        // What follows the backslash may itself be a quote.
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'')?;
        return Some(close + 4);
    }
    // A lifetime is never closed right behind its first character.
    let width = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// Returns the length of a raw text such as `br#"…"#`.
fn raw(rest: &[u8]) -> Option<usize> {
    let mut at = usize::from(matches!(rest[0], b'b' | b'c'));
    if rest.get(at) != Some(&b'r') {
        return None;
    }
    at += 1;
    let hashes = rest[at..].iter().take_while(|byte| **byte == b'#').count();
    at += hashes;
    if rest.get(at) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let length = rest[at + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(rest.len(), |length| at + 1 + length + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a.rs", text).code
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        let source = Source::new("a.rs", "let a = \"unsafe // no\"; // unsafe\n/* /* x */ y */ unsafe {}\n");
        assert_eq!(source.code.len(), source.text.len());
        assert_eq!(words(&source.code, "unsafe").collect::<Vec<_>>(), [source.text.rfind("unsafe").unwrap()]);
        assert!(source.comments.contains("// unsafe") && source.comments.contains("y */"));
        assert!(!source.comments.contains("// no"));
    }

    #[test]
    fn quotes_of_all_kinds_end_where_they_end() {
        assert!(code("let c = '\"'; unsafe {}").contains("unsafe"));
        assert!(code("let c = '\\''; unsafe {}").contains("unsafe"));
        assert!(code("let c = '\\u{1F600}'; let d = 'é'; unsafe {}").contains("unsafe"));
        assert!(code("fn f<'a>(x: &'a str) -> &'a str { unsafe { x } }").contains("unsafe"));
        assert!(!code("let r = br#\"a \" unsafe\"#;").contains("unsafe"));
        assert!(code("let r = r\"\\\"; unsafe {}").contains("unsafe"));
        assert!(code("let r = b\"\\\"\"; r#unsafe();").contains("unsafe"));
        assert!(!code("let s = \"a \\\" unsafe\";").contains("unsafe"));
        // What is never closed must not end the program.
        for broken in ["\"", "'", "r#\"", "/*", "'\\", "b", "\"\\"] {
            code(broken);
        }
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("unsafe_code unsafe xunsafe unsafe", "unsafe").count(), 2);
    }

    #[test]
    fn lines_and_nearby_comments_are_found() {
        let source = Source::new("a.rs", "a\n// why\nb\nc\nd\ne\nf // here\n");
        assert_eq!(source.line(source.text.find('b').unwrap()), 3);
        assert!(source.has_comment_near(3, 3, |_| true));
        assert!(source.has_comment_near(5, 3, |comment| comment.contains("why")));
        assert!(!source.has_comment_near(6, 3, |_| true));
        assert!(source.has_comment_near(7, 0, |_| true));
        assert!(!source.has_comment_near(1, 3, |_| true));
    }

    #[test]
    fn brackets_are_matched() {
        assert_eq!(closing("a(b[c]{d})e", 1), Some(10));
        assert_eq!(closing("(", 0), None);
    }
}
