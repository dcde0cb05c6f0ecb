use millrace::*;
use millrace_runtime::Exchange;

fn exchanges(env: &StreamExecutionEnvironment) -> Vec<&'static str> {
    env.job_graph("plan").unwrap().edges.iter().map(|edge| edge.exchange.name()).collect()
}

fn keyed(env: &StreamExecutionEnvironment) {
    env.generate(Some(10), |n| n)
        .map(|n| n + 1)
        .filter(|n| n % 2 == 0)
        .key_by(|n| *n)
        .window(Tumbling::of(std::time::Duration::from_secs(1)).unwrap())
        .aggregate(count())
        .uid("counts")
        .name("counts by number")
        .collect();
}

#[test]
fn functions_are_one_operator_and_one_subtask_needs_no_exchange() {
    let env = StreamExecutionEnvironment::new();
    keyed(&env);
    let graph = env.job_graph("plan").unwrap();
    let ids: Vec<_> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["generator", "map-filter", "counts", "collect"]);
    assert_eq!(graph.nodes[2].name, "counts by number");
    assert_eq!(exchanges(&env), ["forward", "forward", "forward"]);
}

#[test]
fn several_subtasks_exchange_by_key() {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(2);
    keyed(&env);
    assert_eq!(exchanges(&env), ["forward", "hash", "forward"]);
}

#[test]
fn rows_of_one_subtask_are_spread_over_many_and_said_so() {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(3);
    let numbers = env.from_collection((0..100).collect());
    let doubled = numbers.clone().map(|n: u32| n * 2).set_parallelism(2).collect();
    let everywhere = numbers.broadcast().map(|n| n).collect();
    assert_eq!(exchanges(&env), ["rebalance", "rebalance", "broadcast", "forward"]);
    env.execute("spread").unwrap();
    assert_eq!(doubled.sorted(), (0..100).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(everywhere.take().len(), 300, "each of three subtasks gets each row");
}

#[test]
fn the_ledger_tells_filtered_rows_from_passed_ones() {
    let env = StreamExecutionEnvironment::new();
    let words = env
        .from_iter(["a b", "", "c d e"])
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let report = env.execute("words").unwrap();
    assert_eq!(words.take(), ["a", "b", "c", "d", "e"]);
    let counts = &report.ledger.lines[1].counts;
    assert_eq!((counts.rows_in, counts.passed, counts.rows_out[0]), (3, 2, 5));
}

#[test]
fn what_cannot_run_is_refused() {
    let env = StreamExecutionEnvironment::new();
    assert_eq!(env.execute("empty").unwrap_err().kind(), ErrorKind::FixInput);
    env.from_collection(vec![1]).map(|n| n).set_parallelism(0).collect();
    let error = env.execute("none").unwrap_err();
    assert_eq!(error.message(), "operator `map` has a parallelism of 0");
    let env = StreamExecutionEnvironment::new();
    let numbers = env.from_collection(vec![1]);
    numbers.clone().map(|n| n).uid("same").collect();
    numbers.map(|n| n).uid("same").collect();
    assert_eq!(env.execute("twins").unwrap_err().kind(), ErrorKind::FixInput);
    assert!(env.set_max_parallelism(0).is_err());
}

#[tokio::test]
async fn execute_inside_a_task_says_what_to_use() {
    let env = StreamExecutionEnvironment::new();
    let all = env.from_collection(vec![1, 2]).collect();
    assert!(env.execute("nested").unwrap_err().hint_text().unwrap().contains("job("));
    env.job("nested", Seams::system()).unwrap().run().await.unwrap();
    assert_eq!(all.sorted(), [1, 2]);
}

#[test]
fn an_operator_of_ones_own_takes_part() {
    struct Halve;
    impl Operator for Halve {
        fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
            let mut records: Records<u64> = batch.downcast()?;
            records.values.iter_mut().for_each(|value| *value /= 2);
            out.passed(records.len());
            out.emit(Port::MAIN, Batch::new(records))
        }
    }
    let env = StreamExecutionEnvironment::new();
    let halves = env.from_collection(vec![2u64, 4]).process("halve", |_| Ok(Halve)).collect();
    env.execute("halves").unwrap();
    let halves: Vec<u64> = halves.take();
    assert_eq!(halves, [1, 2]);
    assert_eq!(Exchange::Forward.name(), "forward");
}
