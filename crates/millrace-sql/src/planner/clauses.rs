//! Which clauses a query may have: what is not known to be carried out is refused here, by place.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, Query, Select, SelectFlavor, SelectItem, SetExpr,
    SetOperator, Spanned, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;

use crate::error::{Fault, Result};
use crate::script::Tokens;

/// Refuses clauses of a query that are not supported; not those of its subqueries.
pub(super) fn check_query(query: &Query, tokens: &Tokens) -> Result<()> {
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let behind = body.span().end;
    if let Some(with) = with.as_ref().filter(|with| with.recursive) {
        return Err(Fault::new(with.with_token.0.span, "WITH RECURSIVE is not supported"));
    }
    if let SetExpr::SetOperation { op, .. } = body.as_ref() {
        let word = match op {
            SetOperator::Union => "UNION",
            SetOperator::Except => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Minus => "MINUS",
        };
        return Err(Fault::new(
            place(tokens, &[word], query.span()),
            format!("{word} is not supported yet"),
        )
        .hint("write one INSERT INTO the same table for each input, if it is UNION ALL"));
    }
    if order_by.is_some() {
        return Err(Fault::new(
            tokens.find(&["ORDER", "BY"], behind).unwrap_or(query.span()),
            "ORDER BY is not supported on a stream",
        )
        .hint("an endless result has no last row; windows come in the order of their ends"));
    }
    if limit_clause.is_some() {
        let at = ["LIMIT", "OFFSET"].iter().find_map(|word| tokens.find(&[word], behind));
        return Err(Fault::new(at.unwrap_or(query.span()), "LIMIT is not supported on a stream"));
    }
    if fetch.is_some() {
        let at = tokens.find(&["FETCH"], behind).unwrap_or(query.span());
        return Err(Fault::new(at, "FETCH is not supported on a stream"));
    }
    if !locks.is_empty() || for_clause.is_some() || settings.is_some() || format_clause.is_some() {
        return Err(Fault::new(query.span(), "a clause behind this query is not supported"));
    }
    if !pipe_operators.is_empty() {
        return Err(Fault::new(query.span(), "pipe operators are not supported"));
    }
    match body.as_ref() {
        SetExpr::Select(_) | SetExpr::Query(_) => Ok(()),
        SetExpr::Values(values) => Err(Fault::new(values.span(), "VALUES is not supported yet")
            .hint("put the rows into a file and read them with the connector `filesystem`")),
        other => Err(Fault::new(other.span(), "only SELECT is supported here")),
    }
}

fn place(tokens: &Tokens, words: &[&str], within: Span) -> Span {
    tokens.find(words, within.start).unwrap_or(within)
}

/// Refuses clauses of a SELECT that are not supported.
pub(super) fn check_select(select: &Select, tokens: &Tokens) -> Result<()> {
    let from = select.select_token.0.span.start;
    let refuse = |words: &[&str], message: &str| {
        Err(Fault::new(tokens.find(words, from).unwrap_or(select.select_token.0.span), message))
    };
    match &select.distinct {
        None | Some(Distinct::All) => {}
        Some(_) => return refuse(&["DISTINCT"], "SELECT DISTINCT is not supported yet"),
    }
    if select.from.is_empty() {
        return Err(Fault::new(
            select.select_token.0.span,
            "SELECT without FROM is not supported yet",
        ));
    }
    check_from(&select.from, tokens)?;
    check_group_by(select, tokens)?;
    if !select.named_window.is_empty() {
        return refuse(&["WINDOW"], "WINDOW is not supported yet");
    }
    if select.qualify.is_some() {
        return refuse(&["QUALIFY"], "QUALIFY is not supported yet");
    }
    let plain = select.flavor == SelectFlavor::Standard
        && select.optimizer_hints.is_empty()
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.value_table_mode.is_none();
    if !plain {
        return Err(Fault::new(select.span(), "a clause of this SELECT is not part of Flink SQL"));
    }
    Ok(())
}

fn check_from(from: &[TableWithJoins], tokens: &Tokens) -> Result<()> {
    let second = from.get(1).map(|table| table.relation.span());
    let joined = from.iter().flat_map(|table| &table.joins).next();
    if let Some(join) = joined {
        let at = join.relation.span();
        let words = tokens.tokens.iter().rev().find(|token| {
            token.span.end <= at.start && token.token.to_string().eq_ignore_ascii_case("JOIN")
        });
        return Err(Fault::new(
            words.map_or(at, |token| token.span),
            "joins are not supported yet",
        ));
    }
    match second {
        Some(at) => Err(Fault::new(at, "joins are not supported yet")),
        None => Ok(()),
    }
}

fn check_group_by(select: &Select, tokens: &Tokens) -> Result<()> {
    let GroupByExpr::Expressions(exprs, modifiers) = &select.group_by else {
        let at = place(tokens, &["GROUP", "BY"], select.span());
        return Err(Fault::new(at, "GROUP BY ALL is not part of Flink SQL"));
    };
    if !modifiers.is_empty() {
        return Err(Fault::new(
            select.group_by.span(),
            "WITH ROLLUP, CUBE or TOTALS is not supported",
        ));
    }
    for expr in exprs {
        match expr {
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                return Err(Fault::new(expr.span(), "grouping sets are not supported yet"));
            }
            Expr::Tuple(_) => {
                return Err(Fault::new(expr.span(), "a list in parentheses is not supported here"));
            }
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => {
                return Err(Fault::new(value.span, "GROUP BY takes no positions")
                    .hint("write the expression itself"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses kinds of tables in FROM that are not supported.
pub(super) fn check_table_factor(factor: &TableFactor, tokens: &Tokens) -> Result<()> {
    let at = factor.span();
    let refuse = |message: &str| Err(Fault::new(at, message));
    match factor {
        TableFactor::Table { version: Some(_), .. } => Err(Fault::new(
            place(tokens, &["FOR"], at),
            "FOR SYSTEM_TIME AS OF is not supported yet",
        )),
        TableFactor::Table {
            args,
            with_hints,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
            alias,
            ..
        } => {
            if args.is_some() {
                return Err(Fault::new(at, "a table function stands in TABLE( )")
                    .hint("write FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL '1' HOUR))"));
            }
            if sample.is_some() {
                return refuse("TABLESAMPLE is not supported");
            }
            if !with_hints.is_empty()
                || *with_ordinality
                || !partitions.is_empty()
                || json_path.is_some()
                || !index_hints.is_empty()
            {
                return refuse("a clause of this table is not part of Flink SQL");
            }
            check_alias(alias.as_ref())
        }
        TableFactor::Derived { lateral: true, .. } => refuse("LATERAL is not supported yet"),
        TableFactor::Derived { sample: Some(_), .. } => refuse("TABLESAMPLE is not supported"),
        TableFactor::Derived { alias, .. } | TableFactor::TableFunction { alias, .. } => {
            check_alias(alias.as_ref())
        }
        TableFactor::UNNEST { .. } => refuse("UNNEST is not supported yet"),
        TableFactor::MatchRecognize { .. } => refuse("MATCH_RECOGNIZE is not supported yet"),
        TableFactor::NestedJoin { .. } => refuse("joins are not supported yet"),
        TableFactor::Function { .. } => refuse("LATERAL is not supported yet"),
        _ => refuse("this kind of table is not supported"),
    }
}

fn check_alias(alias: Option<&sqlparser::ast::TableAlias>) -> Result<()> {
    match alias {
        Some(alias) if alias.at.is_some() => {
            Err(Fault::new(alias.name.span, "AT is not supported behind a table's alias"))
        }
        _ => Ok(()),
    }
}

/// Names all columns of a SELECT as Flink does, so that they are unique: an expression without a
/// name is `EXPR$` and its place, a repeated name gets the first free number.
pub(super) fn name_columns(select: &mut Select) -> Result<()> {
    let mut taken: Vec<String> = Vec::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let name = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().cloned().ok_or_else(|| Fault::bug("a name without parts"))?
            }
            SelectItem::UnnamedExpr(_) => Ident::new(format!("EXPR${index}")),
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                check_wildcard(options)?;
                continue;
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(Fault::new(item.span(), "an expression has one alias"));
            }
        };
        let unique = first_free(&name.value, &taken);
        let renamed = Ident { value: unique.clone(), quote_style: Some('`'), span: name.span };
        taken.push(unique);
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: renamed };
    }
    Ok(())
}

fn first_free(name: &str, taken: &[String]) -> String {
    let is_taken = |candidate: &str| taken.iter().any(|other| other == candidate);
    if !is_taken(name) {
        return name.to_owned();
    }
    (0..).map(|n| format!("{name}{n}")).find(|candidate| !is_taken(candidate)).unwrap_or_default()
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<()> {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if plain {
        return Ok(());
    }
    Err(Fault::new(options.wildcard_token.0.span, "`*` takes no modifiers"))
}
