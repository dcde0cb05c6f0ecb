//! From the text of a script to its statements.
//!
//! Queries are parsed by sqlparser; the statements around them are Flink's own and are read here,
//! on the same token stream.

mod create_table;
mod dialect;
mod tokens;

use sqlparser::ast::{Ident, ObjectName, Query};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token};

pub(crate) use create_table::{ColumnDefinition, CreateTable, MetadataDefinition};
pub(crate) use dialect::{FlinkDialect, TABLE_ARGUMENT};
pub(crate) use tokens::Tokens;

use crate::error::{Fault, Result};

/// A statement with the tokens that it was read from.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub statement: Statement,
    pub tokens: Tokens,
}

/// The statements of a script. Statement sets are dissolved: a script is one job anyway.
#[derive(Debug)]
pub(crate) enum Statement {
    CreateTable(Box<CreateTable>),
    CreateView { name: Ident, columns: Vec<Ident>, if_not_exists: bool, query: Box<Query> },
    Set { key: String, value: String, span: Span },
    Insert { table: Ident, columns: Vec<Ident>, query: Box<Query> },
    Select(Box<Query>),
    Explain(Box<Statement>),
}

/// Reads a whole script.
pub(crate) fn parse(text: &str) -> Result<Vec<Parsed>> {
    let mut statements = Vec::new();
    let mut set: Option<Span> = None;
    for mut tokens in tokens::split(text)? {
        for prefix in
            [&["EXECUTE", "STATEMENT", "SET", "BEGIN"][..], &["BEGIN", "STATEMENT", "SET"][..]]
        {
            if tokens.begins_with(prefix) {
                if set.is_some() {
                    return Err(Fault::new(
                        tokens.place_of(prefix),
                        "statement sets cannot be nested",
                    ));
                }
                set = Some(tokens.place_of(prefix));
                tokens.tokens.drain(..prefix.len());
            }
        }
        if tokens.tokens.is_empty() {
            continue;
        }
        if tokens.begins_with(&["END"]) && tokens.tokens.len() == 1 {
            if set.take().is_none() {
                return Err(Fault::new(tokens.span(), "END without a statement set before it"));
            }
            continue;
        }
        let parsed = parse_statement(tokens)?;
        if set.is_some() && !matches!(parsed.statement, Statement::Insert { .. }) {
            return Err(Fault::new(
                parsed.tokens.span(),
                "a statement set holds only INSERT statements",
            ));
        }
        statements.push(parsed);
    }
    match set {
        Some(span) => Err(Fault::new(span, "the statement set has no END")),
        None => Ok(statements),
    }
}

fn parse_statement(tokens: Tokens) -> Result<Parsed> {
    if let Some(set) = read_set(&tokens)? {
        return Ok(Parsed { statement: set, tokens });
    }
    refuse_long_chains(&tokens)?;
    let mut parser = Parser::new(&FlinkDialect)
        .with_recursion_limit(100)
        .with_tokens_with_locations(tokens.tokens.clone());
    let statement =
        read_statement(&mut parser, &tokens).map_err(|fault| fault.or_at(tokens.span()))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(Fault::new(rest.span, format!("unexpected `{}`", rest.token))
            .hint("the statement could end here; statements are divided by semicolons"));
    }
    Ok(Parsed { statement, tokens })
}

/// How many operators an expression may have one inside the other.
const DEEPEST: usize = 250;

/// Refuses chains such as `a + a + a …` that are deeper than what walks over them can stand: the
/// parser's own limit is only about parentheses. Commas and clauses begin anew.
fn refuse_long_chains(tokens: &Tokens) -> Result<()> {
    let mut operators = 0;
    for token in &tokens.tokens {
        match &token.token {
            Token::Comma => operators = 0,
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS => operators += 1,
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::AS
                | Keyword::WHERE => operators = 0,
                _ => {}
            },
            Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq => operators += 1,
            _ => {}
        }
        if operators > 2 * DEEPEST {
            return Err(Fault::new(token.span, "the expression is nested too deeply")
                .hint(format!("an expression may have about {DEEPEST} operators in a row; use IN (…), or divide it")));
        }
    }
    Ok(())
}

fn read_statement(parser: &mut Parser, tokens: &Tokens) -> Result<Statement> {
    let first = parser.peek_token();
    let keyword = match &first.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    match keyword {
        Keyword::CREATE => read_create(parser, tokens),
        Keyword::INSERT => read_insert(parser, tokens),
        Keyword::SELECT | Keyword::WITH => Ok(Statement::Select(parser.parse_query().map_err(fault_of)?)),
        Keyword::EXPLAIN => {
            parser.next_token();
            if parser.parse_keyword(Keyword::PLAN) {
                parser.expect_keyword_is(Keyword::FOR).map_err(fault_of)?;
            }
            match read_statement(parser, tokens)? {
                statement @ (Statement::Insert { .. } | Statement::Select(_)) => {
                    Ok(Statement::Explain(Box::new(statement)))
                }
                _ => Err(Fault::new(first.span, "EXPLAIN takes an INSERT or a SELECT")),
            }
        }
        _ => Err(Fault::new(first.span, format!("`{}` is not a statement of a script", first.token))
            .hint("CREATE TABLE, CREATE VIEW, SET, INSERT INTO, SELECT, EXECUTE STATEMENT SET and EXPLAIN are")),
    }
}

fn read_create(parser: &mut Parser, tokens: &Tokens) -> Result<Statement> {
    let create = parser.next_token();
    let or_replace = parser.peek_token();
    if parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]) {
        return Err(Fault::new(or_replace.span, "OR REPLACE is not supported"));
    }
    let _ = parser.parse_keyword(Keyword::TEMPORARY);
    let what = parser.next_token();
    match &what.token {
        Token::Word(word) if word.keyword == Keyword::TABLE => {
            create_table::read(parser).map(Box::new).map(Statement::CreateTable)
        }
        Token::Word(word) if word.keyword == Keyword::VIEW => read_view(parser),
        other => Err(Fault::new(
            Span::new(create.span.start, what.span.end),
            format!("CREATE {other} is not supported"),
        )
        .hint("tables and views can be created"))
        .map_err(|fault| fault.or_at(tokens.span())),
    }
}

fn read_view(parser: &mut Parser) -> Result<Statement> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = read_name(parser)?;
    let columns = if parser.peek_token().token == Token::LParen {
        parser
            .parse_parenthesized_column_list(sqlparser::parser::IsOptional::Mandatory, false)
            .map_err(fault_of)?
    } else {
        Vec::new()
    };
    if parser.parse_keyword(Keyword::COMMENT) {
        parser.parse_literal_string().map_err(fault_of)?;
    }
    parser.expect_keyword_is(Keyword::AS).map_err(fault_of)?;
    let query = parser.parse_query().map_err(fault_of)?;
    Ok(Statement::CreateView { name, columns, if_not_exists, query })
}

fn read_insert(parser: &mut Parser, tokens: &Tokens) -> Result<Statement> {
    let insert = parser.next_token();
    let next = parser.next_token();
    match &next.token {
        Token::Word(word) if word.keyword == Keyword::INTO => {}
        Token::Word(word) if word.keyword == Keyword::OVERWRITE => {
            return Err(Fault::new(next.span, "INSERT OVERWRITE is not supported on a stream"));
        }
        other => {
            return Err(Fault::new(next.span, format!("unexpected `{other}`; expected INTO")));
        }
    }
    let table = read_name(parser)?;
    let partition = parser.peek_token();
    if parser.parse_keyword(Keyword::PARTITION) {
        return Err(Fault::new(partition.span, "INSERT INTO … PARTITION is not supported")
            .hint("select the partition's value as a column"));
    }
    let columns = if parser.peek_token().token == Token::LParen
        && !matches!(&parser.peek_nth_token(1).token,
            Token::Word(word) if word.keyword == Keyword::SELECT || word.keyword == Keyword::WITH)
    {
        parser
            .parse_parenthesized_column_list(sqlparser::parser::IsOptional::Mandatory, false)
            .map_err(fault_of)?
    } else {
        Vec::new()
    };
    let query = parser
        .parse_query()
        .map_err(|error| fault_of(error).or_at(Span::new(insert.span.start, tokens.span().end)))?;
    Ok(Statement::Insert { table, columns, query })
}

/// `SET 'key' = 'value'`, or without quotes, where `key` may hold dots and dashes.
fn read_set(tokens: &Tokens) -> Result<Option<Statement>> {
    if !tokens.begins_with(&["SET"]) {
        return Ok(None);
    }
    let rest = &tokens.tokens[1..];
    let Some(equals) = rest.iter().position(|token| token.token == Token::Eq) else {
        return Err(Fault::new(tokens.span(), "SET needs a key and a value")
            .hint("write SET 'key' = 'value'"));
    };
    let text = |part: &[sqlparser::tokenizer::TokenWithSpan]| match part {
        [one] => match &one.token {
            Token::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        many => many.iter().map(|token| token.token.to_string()).collect(),
    };
    let (key, value) = (text(&rest[..equals]), text(&rest[equals + 1..]));
    if key.is_empty() || rest.len() == equals + 1 {
        return Err(Fault::new(tokens.span(), "SET needs a key and a value")
            .hint("write SET 'key' = 'value'"));
    }
    Ok(Some(Statement::Set { key, value, span: tokens.span() }))
}

/// The name of a table or view: one part, since there is one catalog and one database.
fn read_name(parser: &mut Parser) -> Result<Ident> {
    let name = parser.parse_object_name(false).map_err(fault_of)?;
    single_name(&name)
}

/// A name of one part.
pub(crate) fn single_name(name: &ObjectName) -> Result<Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned().ok_or_else(|| Fault::bug(format!("odd name {name}"))),
        parts => {
            let spans = parts.iter().filter_map(|part| part.as_ident().map(|ident| ident.span));
            Err(Fault::new(
                Span::union_iter(spans),
                format!("`{name}` names a catalog or database"),
            )
            .hint("there is only one of each; use the table's name alone"))
        }
    }
}

/// The parser's error, whose place stands at the end of its message.
pub(crate) fn fault_of(error: ParserError) -> Fault {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return Fault::new(Span::empty(), "the statement is nested too deeply")
                .hint("expressions and subqueries may be nested 100 levels deep");
        }
    };
    let (message, at) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place_of(place)),
        None => (text.as_str(), None),
    };
    let message =
        match message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) {
            Some((expected, "EOF")) => format!("the statement ends too early; expected {expected}"),
            Some((expected, found)) => format!("unexpected `{found}`; expected {expected}"),
            None => message.to_lowercase(),
        };
    Fault::new(at.unwrap_or_else(Span::empty), message)
}

fn place_of(text: &str) -> Option<Span> {
    let (line, column) = text.split_once(", Column: ")?;
    let (line, column) = (line.parse().ok()?, column.trim().parse().ok()?);
    Some(Span::new(Location { line, column }, Location { line, column: column + 1 }))
}
