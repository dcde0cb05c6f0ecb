//! `CREATE TABLE`, as Flink has it.

use sqlparser::ast::{DataType, Expr, Ident};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{IsOptional, Parser};
use sqlparser::tokenizer::{Span, Token};

use super::{fault_of, read_name};
use crate::error::{Fault, Result};

/// A table as it was written.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub name: Ident,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDefinition>,
    pub watermark: Option<WatermarkDefinition>,
    pub primary_key: Vec<Ident>,
    pub partitioned_by: Vec<Ident>,
    pub options: Vec<TableOption>,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) enum ColumnDefinition {
    Physical {
        name: Ident,
        data_type: DataType,
        not_null: bool,
        type_span: Span,
    },
    /// `METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata(MetadataDefinition),
    Computed {
        name: Ident,
        expr: Box<Expr>,
    },
}

/// A column that stands for something that a record has beside its content.
#[derive(Debug)]
pub(crate) struct MetadataDefinition {
    pub name: Ident,
    pub data_type: DataType,
    pub not_null: bool,
    pub type_span: Span,
    /// What it stands for; without `FROM` the column's name says it.
    pub key: Option<String>,
    pub is_virtual: bool,
    /// Where `METADATA` stands.
    pub span: Span,
}

impl ColumnDefinition {
    pub fn name(&self) -> &Ident {
        match self {
            ColumnDefinition::Physical { name, .. } | ColumnDefinition::Computed { name, .. } => {
                name
            }
            ColumnDefinition::Metadata(metadata) => &metadata.name,
        }
    }
}

/// `WATERMARK FOR rowtime AS expr`.
#[derive(Debug)]
pub(crate) struct WatermarkDefinition {
    pub rowtime: Ident,
    pub expr: Expr,
    pub span: Span,
}

/// `'key' = 'value'` in `WITH`.
#[derive(Debug)]
pub(crate) struct TableOption {
    pub key: String,
    pub value: String,
    pub span: Span,
}

/// Reads what follows `CREATE TABLE`.
pub(super) fn read(parser: &mut Parser) -> Result<CreateTable> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = read_name(parser)?;
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
    };
    parser.expect_token(&Token::LParen).map_err(fault_of)?;
    loop {
        read_element(parser, &mut table)?;
        if parser.consume_token(&Token::Comma) {
            continue;
        }
        parser.expect_token(&Token::RParen).map_err(fault_of)?;
        break;
    }
    read_clauses(parser, &mut table)?;
    Ok(table)
}

fn read_clauses(parser: &mut Parser, table: &mut CreateTable) -> Result<()> {
    loop {
        let next = parser.peek_token();
        if parser.parse_keyword(Keyword::COMMENT) {
            parser.parse_literal_string().map_err(fault_of)?;
        } else if parser.parse_keyword(Keyword::PARTITIONED) {
            parser.expect_keyword_is(Keyword::BY).map_err(fault_of)?;
            table.partitioned_by = parser
                .parse_parenthesized_column_list(IsOptional::Mandatory, false)
                .map_err(fault_of)?;
        } else if parser.parse_keyword(Keyword::WITH) {
            parser.expect_token(&Token::LParen).map_err(fault_of)?;
            table.options = parser
                .parse_comma_separated(|parser| Ok(read_option(parser)))
                .map_err(fault_of)?
                .into_iter()
                .collect::<Result<_>>()?;
            parser.expect_token(&Token::RParen).map_err(fault_of)?;
        } else if let Token::Word(word) = &next.token {
            return Err(Fault::new(
                next.span,
                format!("{} is not supported in CREATE TABLE", word.value),
            ));
        } else {
            return Ok(());
        }
    }
}

fn read_option(parser: &mut Parser) -> Result<TableOption> {
    let start = parser.peek_token().span;
    let key = parser.parse_literal_string().map_err(fault_of)?;
    parser.expect_token(&Token::Eq).map_err(fault_of)?;
    let end = parser.peek_token().span;
    let value = parser.parse_literal_string().map_err(fault_of)?;
    Ok(TableOption { key, value, span: Span::new(start.start, end.end) })
}

fn read_element(parser: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let first = parser.peek_token();
    let second = parser.peek_nth_token(1);
    let is_keyword = |token: &Token, keyword: Keyword| matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword);
    let is_watermark = matches!(&first.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("WATERMARK"));
    if is_watermark && is_keyword(&second.token, Keyword::FOR) {
        return read_watermark(parser, table);
    }
    if is_keyword(&first.token, Keyword::CONSTRAINT) || is_keyword(&first.token, Keyword::PRIMARY) {
        if parser.parse_keyword(Keyword::CONSTRAINT) {
            parser.parse_identifier().map_err(fault_of)?;
        }
        return read_primary_key(parser, table, None);
    }
    if is_keyword(&first.token, Keyword::PERIOD) || is_keyword(&first.token, Keyword::UNIQUE) {
        return Err(Fault::new(
            first.span,
            format!("{} is not supported in CREATE TABLE", first.token),
        ));
    }
    read_column(parser, table)
}

fn read_watermark(parser: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let start = parser.next_token().span;
    parser.next_token();
    let rowtime = parser.parse_identifier().map_err(fault_of)?;
    parser.expect_keyword_is(Keyword::AS).map_err(fault_of)?;
    let expr = parser.parse_expr().map_err(fault_of)?;
    let span = Span::new(start.start, rowtime.span.end);
    if table.watermark.is_some() {
        return Err(Fault::new(span, "a table has one watermark"));
    }
    table.watermark = Some(WatermarkDefinition { rowtime, expr, span });
    Ok(())
}

fn read_primary_key(
    parser: &mut Parser,
    table: &mut CreateTable,
    column: Option<Ident>,
) -> Result<()> {
    let start = parser.peek_token().span;
    parser.expect_keywords(&[Keyword::PRIMARY, Keyword::KEY]).map_err(fault_of)?;
    let columns = match column {
        Some(column) => vec![column],
        None => parser
            .parse_parenthesized_column_list(IsOptional::Mandatory, false)
            .map_err(fault_of)?,
    };
    let end = parser.peek_token().span;
    if !parser.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]) {
        return Err(Fault::new(Span::new(start.start, end.start), "a primary key is not enforced")
            .hint("write PRIMARY KEY (…) NOT ENFORCED"));
    }
    if !table.primary_key.is_empty() {
        return Err(Fault::new(start, "a table has one primary key"));
    }
    table.primary_key = columns;
    Ok(())
}

fn read_column(parser: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let name = parser.parse_identifier().map_err(fault_of)?;
    if table.columns.iter().any(|column| column.name().value == name.value) {
        return Err(Fault::new(name.span, format!("column `{}` is declared twice", name.value)));
    }
    if parser.parse_keyword(Keyword::AS) {
        let expr = parser.parse_expr().map_err(fault_of)?;
        read_comment(parser)?;
        table.columns.push(ColumnDefinition::Computed { name, expr: Box::new(expr) });
        return Ok(());
    }
    let start = parser.peek_token().span;
    let data_type = parser.parse_data_type().map_err(fault_of)?;
    let type_span = Span::new(start.start, last_span(parser).end);
    let not_null = parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]);
    if !not_null {
        let _ = parser.parse_keyword(Keyword::NULL);
    }
    if let Some(span) = parse_word(parser, "METADATA") {
        let key = match parser.parse_keyword(Keyword::FROM) {
            true => Some(parser.parse_literal_string().map_err(fault_of)?),
            false => None,
        };
        let is_virtual = parse_word(parser, "VIRTUAL").is_some();
        table.columns.push(ColumnDefinition::Metadata(MetadataDefinition {
            name,
            data_type,
            not_null,
            type_span,
            key,
            is_virtual,
            span,
        }));
        return read_comment(parser);
    }
    table.columns.push(ColumnDefinition::Physical {
        name: name.clone(),
        data_type,
        not_null,
        type_span,
    });
    if matches!(&parser.peek_token().token, Token::Word(word) if word.keyword == Keyword::PRIMARY) {
        read_primary_key(parser, table, Some(name))?;
    }
    read_comment(parser)
}

/// Takes the next token if it is this word without quotes, and tells where it stands.
fn parse_word(parser: &mut Parser, wanted: &str) -> Option<Span> {
    let next = parser.peek_token();
    let is_wanted = matches!(&next.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted));
    is_wanted.then(|| parser.next_token().span)
}

fn read_comment(parser: &mut Parser) -> Result<()> {
    if parser.parse_keyword(Keyword::COMMENT) {
        parser.parse_literal_string().map_err(fault_of)?;
    }
    Ok(())
}

/// Where the token stands that was read last.
fn last_span(parser: &mut Parser) -> Span {
    parser.prev_token();
    parser.next_token().span
}
