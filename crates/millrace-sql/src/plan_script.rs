//! From the text of a script to a job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;
use millrace_core::{Error, KeyGroups};
use sqlparser::ast::{Ident, Query};
use sqlparser::tokenizer::Span;

use crate::environment::{PlannedScript, SqlEnvironment};
use crate::error::{Fault, Result, SqlError};
use crate::plan::{self, GraphOptions, OutputShape, PlanBuilder, StreamPlan, TableShape};
use crate::planner::{self, Catalog, LATE, Relation, Table};
use crate::script::{self, Parsed, Statement, Tokens};
use crate::settings::{self, HOP_GAPS, Settings};

/// How long a split may be silent before it no longer holds back the watermark, unless
/// `table.exec.source.idle-timeout` says otherwise.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Plans a script: all its statements are one job.
///
/// `file_name` is for error messages and the job's default name. Tables are opened (their options
/// checked), but nothing is read or written yet.
///
/// # Errors
/// The first thing that is wrong, with its place.
///
/// ```
/// use std::sync::Arc;
/// # use millrace_core::{KeyGroups, Sink, SinkContext, SinkWriter, Result};
/// # struct Output;
/// # #[async_trait::async_trait]
/// # impl Sink for Output {
/// #     async fn open(&self, _: SinkContext) -> Result<Box<dyn SinkWriter>> { unimplemented!() }
/// # }
/// let environment = millrace_sql::SqlEnvironment {
///     default_parallelism: 1,
///     key_groups: KeyGroups::default(),
///     settings: Vec::new(),
///     output: Arc::new(|_| Arc::new(Output)),
/// };
/// let error = millrace_sql::plan_script("SELECT a FROM t", "job.sql", &environment).unwrap_err();
/// assert_eq!(error.message(), "table `t` does not exist");
/// ```
pub fn plan_script(
    text: &str,
    file_name: &str,
    environment: &SqlEnvironment,
) -> Result<PlannedScript, SqlError> {
    let planned = on_a_deep_stack(|| plan_all(text, file_name, environment));
    planned.map_err(|fault| fault.in_script(text, file_name))
}

/// How much stack planning may take: parser, resolver and compiler call themselves for each level
/// of an expression, and a script may have hundreds. Only what is used is ever backed by memory.
const STACK_BYTES: usize = 256 << 20;

/// Runs `plan` on a thread of its own and waits for it.
fn on_a_deep_stack<T: Send>(plan: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("planner".into()).stack_size(STACK_BYTES);
        let planner = thread.spawn_scoped(scope, plan).map_err(|error| {
            let error = Error::retry("no thread for planning").caused_by(error);
            Fault::of(&error, Span::empty())
        })?;
        planner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn plan_all(text: &str, file_name: &str, environment: &SqlEnvironment) -> Result<PlannedScript> {
    let statements = script::parse(text)?;
    let mut session = Session::new(environment)?;
    for (number, parsed) in statements.into_iter().enumerate() {
        session.add(parsed, number)?;
    }
    session.finish(file_name)
}

/// A query that waits until all statements have been read.
struct Pending {
    query: LogicalPlan,
    target: PendingTarget,
    explain: bool,
    tokens: Tokens,
}

enum PendingTarget {
    Table { table: Arc<Table>, columns: Vec<Ident>, span: Span },
    Output { statement: usize },
}

struct Session<'a> {
    environment: &'a SqlEnvironment,
    settings: Settings,
    catalog: Catalog,
    pending: Vec<Pending>,
}

impl<'a> Session<'a> {
    fn new(environment: &'a SqlEnvironment) -> Result<Self> {
        let mut given = Settings::new();
        for (key, value) in &environment.settings {
            settings::set(&mut given, key, value, Span::empty())?;
        }
        Ok(Session {
            environment,
            settings: given,
            catalog: Catalog::default(),
            pending: Vec::new(),
        })
    }

    fn add(&mut self, parsed: Parsed, number: usize) -> Result<()> {
        let Parsed { statement, tokens } = parsed;
        match statement {
            Statement::Set { key, value, span } => self.set(&key, &value, span),
            Statement::CreateTable(definition) => {
                planner::declare_table(&definition, &tokens, &mut self.catalog)
            }
            Statement::CreateView { name, columns, if_not_exists, query } => planner::declare_view(
                &name,
                &columns,
                if_not_exists,
                query,
                &tokens,
                &mut self.catalog,
            ),
            Statement::Explain(inner) => self.add_query(*inner, tokens, number, true),
            other => self.add_query(other, tokens, number, false),
        }
    }

    fn set(&mut self, key: &str, value: &str, span: Span) -> Result<()> {
        if self.pending.iter().any(|pending| !pending.explain) {
            return Err(Fault::new(span, "SET must stand before the first INSERT or SELECT")
                .hint("a script is one job, with one value for each setting"));
        }
        let mut checked = Settings::new();
        settings::set(&mut checked, key, value, span)?;
        if !self.environment.settings.iter().any(|(given, _)| given == key) {
            self.settings.append(&mut checked);
        }
        Ok(())
    }

    fn add_query(
        &mut self,
        statement: Statement,
        tokens: Tokens,
        number: usize,
        explain: bool,
    ) -> Result<()> {
        let resolve = |query: Box<Query>| planner::resolve_query(query, &tokens, &self.catalog);
        let (query, target) = match statement {
            Statement::Insert { table: name, columns, query } => {
                let table = match self.catalog.get(&name.value) {
                    Some(Relation::Table(table)) => table,
                    Some(Relation::View(_)) => {
                        return Err(Fault::new(name.span, format!("`{}` is a view", name.value))
                            .hint("only tables can be written to"));
                    }
                    Some(Relation::Late(_)) => {
                        return Err(Fault::new(
                            name.span,
                            format!("`{}` is a system table", name.value),
                        )
                        .hint("it can only be read"));
                    }
                    None => {
                        return Err(Fault::new(
                            name.span,
                            format!("table `{}` does not exist", name.value),
                        )
                        .hint("CREATE TABLE declares it"));
                    }
                };
                (resolve(query)?, PendingTarget::Table { table, columns, span: name.span })
            }
            Statement::Select(query) => {
                (resolve(query)?, PendingTarget::Output { statement: number })
            }
            _ => return Err(Fault::bug("a statement without a query was planned as one")),
        };
        self.pending.push(Pending { query, target, explain, tokens });
        Ok(())
    }

    fn finish(self, file_name: &str) -> Result<PlannedScript> {
        if self.pending.is_empty() {
            return Err(Fault::new(Span::empty(), format!("`{file_name}` has nothing to run"))
                .hint("add an INSERT INTO or a SELECT"));
        }
        self.refuse_cycles()?;
        let mut explained = Vec::new();
        for pending in self.pending.iter().filter(|pending| pending.explain) {
            let mut plan = self.plan(&[pending])?;
            plan::settle(&mut plan)?;
            explained.push(plan::explain(&plan));
        }
        let run: Vec<&Pending> = self.pending.iter().filter(|pending| !pending.explain).collect();
        let mut plan = self.plan(&run)?;
        plan::settle(&mut plan)?;
        let graph = plan::graph(&plan, &self.graph_options(file_name))?;
        let explain = plan::explain(&plan);
        let warnings = self.warnings();
        Ok(PlannedScript { graph, settings: self.settings, explain, explained, warnings })
    }

    fn plan(&self, statements: &[&Pending]) -> Result<StreamPlan> {
        let late_read: BTreeSet<String> = statements
            .iter()
            .flat_map(|pending| relations(&pending.query))
            .filter_map(|(relation, name)| matches!(relation, Relation::Late(_)).then_some(name))
            .collect();
        let mut builder =
            PlanBuilder::new(self.parallelism(), self.is_set(HOP_GAPS, "true"), late_read);
        // Late rows come from windows, so the statements that read them are planned last.
        let (late, plain): (Vec<&Pending>, Vec<&Pending>) =
            statements.iter().copied().partition(|pending| reads_late(&pending.query));
        for pending in plain.into_iter().chain(late) {
            let added = match &pending.target {
                PendingTarget::Table { table, columns, span } => {
                    builder.add_query(&pending.query, &TableShape { table, columns, span: *span })
                }
                PendingTarget::Output { statement } => builder.add_query(
                    &pending.query,
                    &OutputShape { statement: *statement, sink: self.environment.output.as_ref() },
                ),
            };
            let late = relations(&pending.query).into_iter().find_map(|(relation, name)| {
                matches!(relation, Relation::Late(_)).then(|| format!("{name}{LATE}"))
            });
            let place = late
                .map_or_else(|| pending.tokens.span(), |name| pending.tokens.place_of_name(&name));
            added.map_err(|fault| fault.or_at(place))?;
        }
        Ok(builder.plan)
    }

    /// A table that a job both reads and writes would feed the job its own output.
    fn refuse_cycles(&self) -> Result<()> {
        let written: BTreeMap<&str, Span> = self
            .pending
            .iter()
            .filter_map(|pending| match &pending.target {
                PendingTarget::Table { table, span, .. } => Some((table.name.as_str(), *span)),
                PendingTarget::Output { .. } => None,
            })
            .collect();
        for (_, name) in self.pending.iter().flat_map(|pending| relations(&pending.query)) {
            if let Some(span) = written.get(name.as_str()) {
                return Err(Fault::new(*span, format!("`{name}` is both read and written"))
                    .hint("a script is one job, and would read what it has just written; write to another table, or divide the script"));
            }
        }
        Ok(())
    }

    fn is_set(&self, key: &str, value: &str) -> bool {
        self.settings.get(key).is_some_and(|set| set == value)
    }

    fn parallelism(&self) -> usize {
        let set = self.settings.get("parallelism.default").and_then(|value| value.parse().ok());
        set.unwrap_or(self.environment.default_parallelism)
    }

    fn graph_options(&self, file_name: &str) -> GraphOptions {
        let stem = Path::new(file_name).file_stem().and_then(|stem| stem.to_str());
        let key_groups =
            self.settings.get("pipeline.max-parallelism").and_then(|value| value.parse().ok());
        let idle_timeout = match self.settings.get("table.exec.source.idle-timeout") {
            None => Some(IDLE_TIMEOUT),
            // Zero means never, as in Flink.
            Some(value) => settings::duration(value).filter(|timeout| !timeout.is_zero()),
        };
        GraphOptions {
            name: self
                .settings
                .get("pipeline.name")
                .cloned()
                .unwrap_or_else(|| stem.unwrap_or("job").to_owned()),
            key_groups: key_groups.map_or(self.environment.key_groups, KeyGroups::new),
            idle_timeout,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut used = BTreeSet::new();
        for pending in &self.pending {
            used.extend(relations(&pending.query).into_iter().map(|(_, name)| name));
            if let PendingTarget::Table { table, .. } = &pending.target {
                used.insert(table.name.clone());
            }
        }
        let unused = self.catalog.names().filter(|name| {
            matches!(self.catalog.get(name), Some(Relation::Table(_))) && !used.contains(*name)
        });
        unused.map(|name| format!("table `{name}` is neither read nor written")).collect()
    }
}

/// The tables that a query reads, by way of views too.
fn relations(query: &LogicalPlan) -> Vec<(Relation, String)> {
    let mut found = Vec::new();
    // The closure never fails.
    let _ = query.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = planner::relation_of(scan.source.as_ref())
            && let Relation::Table(table) | Relation::Late(table) = relation
        {
            found.push((relation.clone(), table.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn reads_late(query: &LogicalPlan) -> bool {
    relations(query).iter().any(|(relation, _)| matches!(relation, Relation::Late(_)))
}
