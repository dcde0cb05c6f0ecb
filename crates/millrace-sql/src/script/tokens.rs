//! From text to statements' tokens, and what sqlparser has no hook for.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::dialect::FlinkDialect;
use crate::error::{Fault, Result};

/// The tokens of one statement, without white space, comments and the semicolon.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    /// At least one.
    pub tokens: Vec<TokenWithSpan>,
}

impl Tokens {
    /// From the first token to the last.
    pub fn span(&self) -> Span {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => Span::new(first.span.start, last.span.end),
            _ => Span::empty(),
        }
    }

    /// The first place at or behind `from` where these words stand one after the other.
    pub fn find(&self, words: &[&str], from: Location) -> Option<Span> {
        self.tokens
            .windows(words.len())
            .find(|window| {
                window[0].span.start >= from
                    && window.iter().zip(words).all(|(token, word)| is_word(&token.token, word))
            })
            .map(|window| Span::new(window[0].span.start, window[words.len() - 1].span.end))
    }

    /// Like [`Tokens::find`], from the statement's beginning; the whole statement if there is none.
    pub fn place_of(&self, words: &[&str]) -> Span {
        self.find(words, Location { line: 0, column: 0 }).unwrap_or_else(|| self.span())
    }

    /// Where a name stands first, in backticks or not; the whole statement if it does not.
    pub fn place_of_name(&self, name: &str) -> Span {
        let found = self
            .tokens
            .iter()
            .find(|token| matches!(&token.token, Token::Word(word) if word.value == name));
        found.map_or_else(|| self.span(), |token| token.span)
    }

    /// Whether the statement begins with these words.
    pub fn begins_with(&self, words: &[&str]) -> bool {
        words.len() <= self.tokens.len()
            && words.iter().zip(&self.tokens).all(|(word, token)| is_word(&token.token, word))
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    match token {
        Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
        other => other.to_string() == word,
    }
}

/// Cuts a script at its semicolons. Refuses hints: as comments to the parser they would vanish.
pub(crate) fn split(text: &str) -> Result<Vec<Tokens>> {
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize_with_location().map_err(|error| {
        let Location { line, column } = error.location;
        let at = Span::new(error.location, Location { line, column: column + 1 });
        Fault::new(at, error.message.to_lowercase())
    })?;
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                refuse_hint(comment, &token)?
            }
            Token::Whitespace(Whitespace::SingleLineComment { prefix, .. }) if prefix != "--" => {
                return Err(Fault::new(token.span, format!("unexpected `{prefix}`"))
                    .hint("comments begin with `--` or stand between `/*` and `*/`"));
            }
            Token::Whitespace(_) => {}
            Token::DoubleQuotedString(_) => {
                return Err(Fault::new(token.span, "unexpected double quotes")
                    .hint("strings stand in single quotes, names in backticks"));
            }
            Token::SemiColon => statements.push(std::mem::take(&mut current)),
            _ => current.push(token),
        }
    }
    statements.push(current);
    Ok(statements
        .into_iter()
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| Tokens { tokens: local_time_zone(tokens) })
        .collect())
}

fn refuse_hint(comment: &str, token: &TokenWithSpan) -> Result<()> {
    if !comment.starts_with('+') {
        return Ok(());
    }
    Err(Fault::new(token.span, "hints are not supported")
        .hint("write what the hint says as an option of the table or with SET"))
}

/// `TIMESTAMP(3) WITH LOCAL TIME ZONE` is `TIMESTAMP_LTZ(3)`, which the parser knows how to read.
fn local_time_zone(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words = ["WITH", "LOCAL", "TIME", "ZONE"];
    while let Some(at) = tokens.windows(4).position(|window| {
        window.iter().zip(words).all(|(token, word)| is_word(&token.token, word))
    }) {
        let begin = tokens[..at].iter().rposition(|token| is_word(&token.token, "TIMESTAMP"));
        let Some(begin) = begin.filter(|begin| at - begin <= 4) else { break };
        if let Token::Word(word) = &mut tokens[begin].token {
            word.value = "TIMESTAMP_LTZ".into();
            word.keyword = Keyword::NoKeyword;
        }
        tokens.drain(at..at + 4);
    }
    tokens
}
