//! Flink's dialect, as far as sqlparser's hooks reach.

use std::any::TypeId;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    Map, MapEntry, ObjectName,
};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// The function that stands for `TABLE t` as an argument; no user can write this name.
pub(crate) const TABLE_ARGUMENT: &str = "TABLE ";

/// Flink SQL: names in backticks, strings in single quotes without escapes.
#[derive(Debug)]
pub(crate) struct FlinkDialect;

impl Dialect for FlinkDialect {
    /// The parser has gates that open for a list of known dialects only.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    /// `MAP<STRING, BYTES>`, the type.
    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    /// `TABLE t`, the argument of a table function, and `MAP[key, value, …]`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [table, name] = [parser.peek_nth_token(0), parser.peek_nth_token(1)];
        match (&table.token, &name.token) {
            (Token::Word(word), Token::Word(_)) if word.keyword == Keyword::TABLE => {
                parser.next_token();
                Some(parser.parse_object_name(false).map(|name| table_argument(&name)))
            }
            (Token::Word(word), Token::LBracket)
                if word.keyword == Keyword::MAP && word.quote_style.is_none() =>
            {
                parser.next_token();
                parser.next_token();
                Some(map_of(parser))
            }
            _ => None,
        }
    }
}

/// What stands behind `MAP[`.
fn map_of(parser: &mut Parser) -> Result<Expr, ParserError> {
    let mut entries = Vec::new();
    loop {
        let key = Box::new(parser.parse_expr()?);
        parser.expect_token(&Token::Comma)?;
        let value = Box::new(parser.parse_expr()?);
        entries.push(MapEntry { key, value });
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RBracket)?;
    Ok(Expr::Map(Map { entries }))
}

fn table_argument(name: &ObjectName) -> Expr {
    let parts = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let list = FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(parts)))],
        clauses: Vec::new(),
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(TABLE_ARGUMENT)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
