// Tokio's answers to the same questions about queues and a mutex.  It takes the
// same arguments as the C programs and prints the same line.
//
// Its queues have one consumer: of many to many there is only one to one.  Its
// mutex is first come, first served, and its timers count whole milliseconds,
// which is in "mutex_victim_due".

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, Mutex};
use tokio::task::{spawn, yield_now, JoinHandle};
use tokio::time::sleep;

const SLOTS: usize = 128;
const STAGES: u64 = 8;
const TASKS: u64 = 64;
const HOGS: u64 = 2;
const HOLD: Duration = Duration::from_micros(20);
const PAUSE: Duration = Duration::from_millis(1);
const LOCKS_PER_WAIT: u64 = 16000;

struct Answer {
    bench: &'static str,
    unit: &'static str,
    value: f64,
    n: u64,
    ok: bool,
    extra: String,
}

impl Answer {
    fn of(bench: &'static str, unit: &'static str, time: Duration, n: u64, ok: bool) -> Self {
        let value = time.as_nanos() as f64 / n as f64;
        let extra = String::new();
        Answer {
            bench,
            unit,
            value,
            n,
            ok,
            extra,
        }
    }

    fn print(&self, workers: usize) {
        println!(
            "{{\"bench\":\"{}\",\"peer\":\"tokio\",\"workers\":{},\"unit\":\"{}\",\
             \"value\":{},\"n\":{},\"ok\":{}{}}}",
            self.bench, workers, self.unit, self.value, self.n, self.ok, self.extra
        );
    }
}

// Queues

async fn ping_pong(n: u64) -> (u64, Duration) {
    let (to_other, mut from_one) = mpsc::channel(1);
    let (to_one, mut from_other) = mpsc::channel(1);
    let other = spawn(async move {
        while let Some(number) = from_one.recv().await {
            to_one.send(number).await.unwrap();
        }
    });
    let mut sum = 0;
    let start = Instant::now();
    for i in 0..n {
        to_other.send(i).await.unwrap();
        sum += from_other.recv().await.unwrap();
    }
    let time = start.elapsed();
    drop(to_other);
    other.await.unwrap();
    (sum, time)
}

async fn one_to_one(n: u64) -> (u64, Duration) {
    let start = Instant::now();
    let (to, mut from) = mpsc::channel(SLOTS);
    let producer = spawn(async move {
        for i in 0..n {
            to.send(i).await.unwrap();
        }
    });
    let mut sum = 0;
    while let Some(number) = from.recv().await {
        sum += number;
    }
    producer.await.unwrap();
    (sum, start.elapsed())
}

// One item at a time: what receives many came later.
async fn pipeline(n: u64) -> (u64, Duration) {
    let start = Instant::now();
    let (first, mut last) = mpsc::channel(SLOTS);
    for _ in 0..STAGES {
        let (to, next) = mpsc::channel(SLOTS);
        let mut from = std::mem::replace(&mut last, next);
        spawn(async move {
            while let Some(number) = from.recv().await {
                to.send(number + 1).await.unwrap();
            }
        });
    }
    spawn(async move {
        for i in 0..n {
            first.send(i).await.unwrap();
        }
    });
    let mut sum = 0;
    while let Some(number) = last.recv().await {
        sum += number;
    }
    (sum, start.elapsed())
}

async fn run_queue(size: u64) -> Vec<Answer> {
    let n = size / 64 * 64;
    let once = n * (n - 1) / 2;
    let answer =
        |bench, unit, (sum, time), expected| Answer::of(bench, unit, time, n, sum == expected);
    ping_pong(n / 10).await;
    vec![
        answer("ping_pong", "ns/round trip", ping_pong(n).await, once),
        answer("mpmc1", "ns/item", one_to_one(n).await, once),
        answer("pipeline", "ns/item", pipeline(n).await, once + n * STAGES),
    ]
}

// A mutex

async fn join_all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

async fn lock_all(n: u64, hold: bool) -> (u64, Duration) {
    let start = Instant::now();
    let counter = Arc::new(Mutex::new(0));
    let count = |counter: Arc<Mutex<u64>>| async move {
        for _ in 0..n / TASKS {
            let mut guard = counter.lock().await;
            *guard += 1;
            if hold {
                yield_now().await;
            }
        }
    };
    join_all((0..TASKS).map(|_| spawn(count(counter.clone()))).collect()).await;
    let counted = *counter.lock().await;
    (counted, start.elapsed())
}

async fn count_locks(bench: &'static str, n: u64, hold: bool) -> Answer {
    lock_all(n / 10, hold).await;
    let (counter, time) = lock_all(n, hold).await;
    Answer::of(
        bench,
        "ns/lock",
        time,
        counter,
        counter == n / TASKS * TASKS,
    )
}

// A victim beside two hogs

#[derive(Default)]
struct Held {
    locks: u64,
    time: Duration,
}

#[derive(Default)]
struct Trial {
    held: Mutex<Held>,
    hogs_locks: AtomicU64,
    hogs_begun: AtomicU64,
    over: AtomicBool,
}

fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

async fn be_a_hog(trial: Arc<Trial>) {
    let mut locks = 0;
    while !trial.over.load(SeqCst) {
        let mut held = trial.held.lock().await;
        let start = Instant::now();
        spin_for(HOLD);
        held.locks += 1;
        held.time += start.elapsed();
        drop(held);
        if locks == 0 {
            trial.hogs_begun.fetch_add(1, SeqCst);
        }
        locks += 1;
    }
    trial.hogs_locks.fetch_add(locks, SeqCst);
}

// How long each of its calls took, and the same from when it wanted to call.
async fn be_the_victim(trial: &Trial, n: u64) -> (Vec<Duration>, Vec<Duration>) {
    let (mut waited, mut late) = (vec![], vec![]);
    while trial.hogs_begun.load(SeqCst) < HOGS {
        sleep(PAUSE).await;
    }
    for _ in 0..n {
        let due = Instant::now() + PAUSE;
        sleep(PAUSE).await;
        let asked = Instant::now();
        let mut held = trial.held.lock().await;
        let got = Instant::now();
        held.locks += 1;
        drop(held);
        waited.push(got - asked);
        late.push(got - due);
    }
    trial.over.store(true, SeqCst);
    (waited, late)
}

fn rank_waits(bench: &'static str, mut waits: Vec<Duration>, held: f64, ok: bool) -> Answer {
    waits.sort();
    let n = waits.len();
    let ranked = |rank: usize| waits[rank].as_nanos() as f64 / 1000.0;
    let (p99, worst) = (ranked(n - 1 - n / 100), ranked(n - 1));
    let extra = format!(",\"p99_us\":{p99},\"worst_us\":{worst},\"held\":{held}");
    Answer {
        bench,
        unit: "us",
        value: ranked(n / 2),
        n: n as u64,
        ok,
        extra,
    }
}

async fn run_victim(n: u64) -> Vec<Answer> {
    let trial = Arc::new(Trial::default());
    let start = Instant::now();
    let hogs = (0..HOGS).map(|_| spawn(be_a_hog(trial.clone()))).collect();
    let (waited, late) = be_the_victim(&trial, n).await;
    join_all(hogs).await;
    let all = trial.held.lock().await;
    let held = all.time.as_secs_f64() / start.elapsed().as_secs_f64();
    let ok = all.locks == trial.hogs_locks.load(SeqCst) + n;
    vec![
        rank_waits("mutex_victim", waited, held, ok),
        rank_waits("mutex_victim_due", late, held, ok),
    ]
}

async fn run_mutex(n: u64) -> Vec<Answer> {
    let mut answers = vec![
        count_locks("mutex", n, false).await,
        count_locks("mutex_held", n / 10, true).await,
    ];
    answers.extend(run_victim(n / LOCKS_PER_WAIT + 1).await);
    answers
}

async fn run(bench: String, n: u64) -> Vec<Answer> {
    match bench.as_str() {
        "queue" => run_queue(n).await,
        "mutex" => run_mutex(n).await,
        _ => vec![],
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |option: &str| words.iter().skip_while(|word| *word != option).nth(1);
    let number = |option| after(option).and_then(|word| word.parse().ok());
    let (workers, n) = match (words.len(), number("-w"), number("-n")) {
        (6, Some(workers), Some(n)) => (workers, n),
        _ => {
            eprintln!("usage: tokio_peer NAME -w WORKERS -n SIZE");
            std::process::exit(2);
        }
    };
    let bench = words[1].clone();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(workers as usize)
        .enable_time()
        .build()
        .unwrap();
    // What block_on() itself runs is on no worker.
    let answers = runtime.block_on(async { spawn(run(bench, n)).await.unwrap() });
    for answer in &answers {
        answer.print(workers as usize);
    }
    if answers.is_empty() || !answers.iter().all(|answer| answer.ok) {
        std::process::exit(1);
    }
}
