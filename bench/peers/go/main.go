// Go's answers to the same questions, with goroutines, channels and its
// network package.  It takes the same arguments as the C programs and prints
// the same line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const fanout = 10

type result struct {
	Bench   string  `json:"bench"`
	Peer    string  `json:"peer"`
	Workers int     `json:"workers"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value"`
	N       int64   `json:"n"`
	Ok      bool    `json:"ok"`

	FirstPass    float64 `json:"first_pass,omitempty"`
	BytesPerTask float64 `json:"bytes_per_task,omitempty"`
	AfterFunc    float64 `json:"after_func,omitempty"`
	P99          float64 `json:"p99_us,omitempty"`
	Call         float64 `json:"call_us,omitempty"`
	Worst        float64 `json:"worst_us,omitempty"`
	Held         float64 `json:"held,omitempty"`
}

var workers int

func report(r result) {
	r.Peer = "go"
	r.Workers = workers
	line, _ := json.Marshal(r)
	fmt.Println(string(line))
	if !r.Ok {
		os.Exit(1)
	}
}

func perOperation(d time.Duration, n int64) float64 {
	return float64(d.Nanoseconds()) / float64(n)
}

// fib

func fib(n int) int64 {
	if n < 2 {
		return int64(n)
	}
	left := make(chan int64, 1)
	go func() { left <- fib(n - 1) }()
	right := fib(n - 2)
	return <-left + right
}

func fibonacci(n int) int64 {
	a, b := int64(0), int64(1)
	for ; n > 0; n-- {
		a, b = b, a+b
	}
	return a
}

func runFib(n int) {
	fib(20)
	start := time.Now()
	answer := fib(n)
	elapsed := time.Since(start)
	tasks := fibonacci(n+1) - 1
	report(result{Bench: "fib", Unit: "ns/task", Value: perOperation(elapsed, tasks), N: tasks,
		Ok: answer == fibonacci(n)})
}

// spawn

func spawnAndWait(counts []int) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	all.Add(len(counts))
	for i := range counts {
		count := &counts[i]
		go func() {
			*count++
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(start)
}

func runSpawn(n int) {
	counts := make([]int, n)
	first := spawnAndWait(counts)
	second := spawnAndWait(counts)
	ok := true
	for _, count := range counts {
		ok = ok && count == 2
	}
	report(result{Bench: "spawn", Unit: "ns/task", Value: perOperation(second, int64(n)),
		N: int64(n), Ok: ok, FirstPass: perOperation(first, int64(n))})
}

// group: a WaitGroup that keeps the first error and cancels a context, as
// golang.org/x/sync/errgroup does

type group struct {
	all    sync.WaitGroup
	once   sync.Once
	err    error
	cancel context.CancelFunc
}

func (g *group) create(f func() error) {
	g.all.Add(1)
	go func() {
		defer g.all.Done()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) wait() error {
	g.all.Wait()
	g.cancel()
	return g.err
}

func newGroup() *group {
	_, cancel := context.WithCancel(context.Background())
	return &group{cancel: cancel}
}

func createAndWait(counts []int) (time.Duration, error) {
	start := time.Now()
	g := newGroup()
	for i := range counts {
		count := &counts[i]
		g.create(func() error {
			*count++
			return nil
		})
	}
	err := g.wait()
	return time.Since(start), err
}

func groupTellsOfFailures() bool {
	g := newGroup()
	failure := errors.New("failure")
	for i := 0; i < 100; i++ {
		i := i
		g.create(func() error {
			if i < 99 {
				return nil
			}
			return failure
		})
	}
	return g.wait() == failure
}

func runGroup(n int) {
	counts := make([]int, n)
	first, err1 := createAndWait(counts)
	second, err2 := createAndWait(counts)
	ok := err1 == nil && err2 == nil && groupTellsOfFailures()
	for _, count := range counts {
		ok = ok && count == 2
	}
	report(result{Bench: "group", Unit: "ns/member", Value: perOperation(second, int64(n)),
		N: int64(n), Ok: ok, FirstPass: perOperation(first, int64(n))})
}

// skynet

func skynet(first, leaves int64) int64 {
	if leaves == 1 {
		return first
	}
	sums := make(chan int64, fanout)
	below := leaves / fanout
	for i := int64(0); i < fanout; i++ {
		i := i
		go func() { sums <- skynet(first+i*below, below) }()
	}
	var sum int64
	for i := 0; i < fanout; i++ {
		sum += <-sums
	}
	return sum
}

func runSkynet(leaves int64) {
	skynet(0, 1000)
	start := time.Now()
	sum := skynet(0, leaves)
	elapsed := time.Since(start)
	var tasks int64
	for n := leaves; n > 1; n /= fanout {
		tasks += n
	}
	report(result{Bench: "skynet", Unit: "ns/task", Value: perOperation(elapsed, tasks), N: tasks,
		Ok: sum == leaves*(leaves-1)/2})
}

// yield

// Goroutines need not run in turn, and the runtime's own may run in between, so
// turns are not counted here.
func playOnce(tasks, yields int) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < yields; k++ {
				runtime.Gosched()
			}
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(start)
}

func runYield(name string, tasks, yields int) {
	playOnce(tasks, yields)
	elapsed := playOnce(tasks, yields)
	total := int64(tasks) * int64(yields)
	report(result{Bench: name, Unit: "ns/yield", Value: perOperation(elapsed, total), N: total,
		Ok: true})
}

// queue

func pingPong(n int) (int64, time.Duration) {
	there, back := make(chan int64, 1), make(chan int64, 1)
	go func() {
		for number := range there {
			back <- number
		}
	}()
	var sum int64
	start := time.Now()
	for i := 0; i < n; i++ {
		there <- int64(i)
		sum += <-back
	}
	elapsed := time.Since(start)
	close(there)
	return sum, elapsed
}

func manyToMany(pairs, n int) (int64, time.Duration) {
	var producers, consumers sync.WaitGroup
	var sum atomic.Int64
	shared := make(chan int64, 128)
	start := time.Now()
	producers.Add(pairs)
	consumers.Add(pairs)
	for i := 0; i < pairs; i++ {
		go func() {
			for k := 0; k < n/pairs; k++ {
				shared <- int64(k)
			}
			producers.Done()
		}()
		go func() {
			var mine int64
			for number := range shared {
				mine += number
			}
			sum.Add(mine)
			consumers.Done()
		}()
	}
	producers.Wait()
	close(shared)
	consumers.Wait()
	return sum.Load(), time.Since(start)
}

// One item at a time: channels know no batches.
func pipeline(n int) (int64, time.Duration) {
	first := make(chan int64, 128)
	last := first
	start := time.Now()
	for i := 0; i < 8; i++ {
		from, to := last, make(chan int64, 128)
		go func() {
			for number := range from {
				to <- number + 1
			}
			close(to)
		}()
		last = to
	}
	go func() {
		for i := 0; i < n; i++ {
			first <- int64(i)
		}
		close(first)
	}()
	var sum int64
	for number := range last {
		sum += number
	}
	return sum, time.Since(start)
}

func reportQueue(name, unit string, n int, elapsed time.Duration, sum, expected int64) {
	report(result{Bench: name, Unit: unit, Value: perOperation(elapsed, int64(n)), N: int64(n),
		Ok: sum == expected})
}

func runQueue(size int) {
	n := size / 64 * 64
	pingPong(n / 10)
	sum, elapsed := pingPong(n)
	reportQueue("ping_pong", "ns/round trip", n, elapsed, sum, int64(n)*int64(n-1)/2)
	for _, pairs := range []int{1, 2, 8} {
		each := int64(n / pairs)
		sum, elapsed = manyToMany(pairs, n)
		reportQueue(fmt.Sprintf("mpmc%d", pairs), "ns/item", n, elapsed, sum,
			int64(pairs)*each*(each-1)/2)
	}
	sum, elapsed = pipeline(n)
	reportQueue("pipeline", "ns/item", n, elapsed, sum, int64(n)*int64(n-1)/2+int64(n)*8)
}

// mutex

func lockAll(n int, hold bool) (int, time.Duration) {
	var mutex sync.Mutex
	var all sync.WaitGroup
	counter := 0
	start := time.Now()
	all.Add(64)
	for i := 0; i < 64; i++ {
		go func() {
			for k := 0; k < n/64; k++ {
				mutex.Lock()
				counter++
				if hold {
					runtime.Gosched()
				}
				mutex.Unlock()
			}
			all.Done()
		}()
	}
	all.Wait()
	return counter, time.Since(start)
}

func runMutex(name string, n int, hold bool) {
	lockAll(n/10, hold)
	counter, elapsed := lockAll(n, hold)
	report(result{Bench: name, Unit: "ns/lock", Value: perOperation(elapsed, int64(counter)),
		N: int64(counter), Ok: counter == n/64*64})
}

// A victim beside two hogs.

const (
	hogs  = 2
	hold  = 20 * time.Microsecond
	pause = time.Millisecond
)

type trial struct {
	mutex     sync.Mutex
	all       sync.WaitGroup
	counter   int64
	held      time.Duration
	hogsLocks atomic.Int64
	hogsBegun atomic.Int64
	over      atomic.Bool
}

func (t *trial) beAHog() {
	var locks int64
	for ; !t.over.Load(); locks++ {
		t.mutex.Lock()
		start := time.Now()
		spinFor(hold)
		t.counter++
		t.held += time.Since(start)
		t.mutex.Unlock()
		if locks == 0 {
			t.hogsBegun.Add(1)
		}
	}
	t.hogsLocks.Add(locks)
	t.all.Done()
}

func (t *trial) beTheVictim(waited, late []time.Duration) {
	for t.hogsBegun.Load() < hogs {
		time.Sleep(pause)
	}
	for i := range waited {
		start := time.Now()
		time.Sleep(pause)
		asked := time.Now()
		t.mutex.Lock()
		waited[i] = time.Since(asked)
		t.counter++
		t.mutex.Unlock()
		late[i] = waited[i] + asked.Sub(start) - pause
	}
	t.over.Store(true)
	t.all.Done()
}

func reportWaits(name string, waits []time.Duration, held float64, ok bool) {
	n := len(waits)
	report(result{Bench: name, Unit: "us", Value: ranked(waits, n/2), N: int64(n), Ok: ok,
		P99: ranked(waits, n-1-n/100), Worst: ranked(waits, n-1), Held: held})
}

func runVictim(n int) {
	waited, late := make([]time.Duration, n), make([]time.Duration, n)
	var t trial
	start := time.Now()
	t.all.Add(hogs + 1)
	for i := 0; i < hogs; i++ {
		go t.beAHog()
	}
	go t.beTheVictim(waited, late)
	t.all.Wait()
	held := t.held.Seconds() / time.Since(start).Seconds()
	ok := t.counter == t.hogsLocks.Load()+int64(n)
	reportWaits("mutex_victim", waited, held, ok)
	reportWaits("mutex_victim_due", late, held, ok)
}

// sleepers

// A figure in kilobytes from /proc/self/status, in bytes.
func statusBytes(field string) int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			kilobytes, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return -1
}

func allNap(ok []bool) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	all.Add(len(ok))
	for i := range ok {
		slot := &ok[i]
		go func() {
			start := time.Now()
			time.Sleep(time.Second)
			*slot = time.Since(start) >= time.Second
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(start)
}

func runSleepers(n int) {
	oks := make([]bool, n)
	before := statusBytes("VmRSS:")
	first := allNap(oks)
	second := allNap(oks)
	ok := true
	for _, slept := range oks {
		ok = ok && slept
	}
	bytes := float64(statusBytes("VmHWM:") - before)
	report(result{Bench: "sleepers", Unit: "s", Value: second.Seconds(), N: int64(n), Ok: ok,
		FirstPass: first.Seconds(), BytesPerTask: bytes / float64(n)})
}

// timeout

const limit = 30 * time.Second

func timeScope(n int, call bool) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		if call && ctx.Err() != nil {
			panic("late")
		}
		cancel()
	}
	return time.Since(start)
}

func timeWait(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		set := make(chan struct{})
		go close(set)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		select {
		case <-set:
		case <-ctx.Done():
			panic("late")
		}
		cancel()
	}
	return time.Since(start)
}

// The cheapest that Go has: a timer without a context.
func timeAfterFunc(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		time.AfterFunc(limit, func() { panic("late") }).Stop()
	}
	return time.Since(start)
}

func runTimeout(n int) {
	var scope, call, wait, after time.Duration
	for pass := 0; pass < 2; pass++ { // the second counts
		scope = timeScope(n, false)
		call = timeScope(n, true)
		wait = timeWait(n / 10)
		after = timeAfterFunc(n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	ok := ctx.Err() == context.DeadlineExceeded
	cancel()
	report(result{Bench: "timeout", Unit: "ns/scope", Value: perOperation(scope, int64(n)),
		N: int64(n), Ok: ok, AfterFunc: perOperation(after, int64(n))})
	report(result{Bench: "timeout_call", Unit: "ns/scope", Value: perOperation(call, int64(n)),
		N: int64(n), Ok: ok})
	report(result{Bench: "timeout_wait", Unit: "ns/scope", Value: perOperation(wait, int64(n/10)),
		N: int64(n / 10), Ok: ok})
}

// timers

func limitOf(number int) time.Duration {
	scattered := uint64(number) * 2654435761 % 1000003
	return time.Hour + time.Duration(scattered)*time.Millisecond
}

func waitTogether(n int, late *atomic.Int64) time.Duration {
	gate := make(chan struct{})
	var all sync.WaitGroup
	var waiting atomic.Int64
	start := time.Now()
	all.Add(n)
	for i := 0; i < n; i++ {
		i := i
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), limitOf(i))
			waiting.Add(1)
			select {
			case <-gate:
			case <-ctx.Done():
				late.Add(1)
			}
			cancel()
			all.Done()
		}()
	}
	for waiting.Load() < int64(n) {
		runtime.Gosched()
	}
	close(gate)
	all.Wait()
	return time.Since(start)
}

func setAndStop(n int) time.Duration {
	timers := make([]*time.Timer, n)
	start := time.Now()
	for i := range timers {
		timers[i] = time.AfterFunc(limitOf(i), func() { panic("late") })
	}
	for _, timer := range timers {
		timer.Stop()
	}
	return time.Since(start)
}

func runTimers(n int) {
	var late atomic.Int64
	first := waitTogether(n, &late)
	second := waitTogether(n, &late)
	report(result{Bench: "timers", Unit: "ns/task", Value: perOperation(second, int64(n)),
		N: int64(n), Ok: late.Load() == 0, FirstPass: perOperation(first, int64(n)),
		AfterFunc: perOperation(setAndStop(n), int64(n))})
}

// wake

func spinFor(pause time.Duration) {
	for start := time.Now(); time.Since(start) < pause; {
	}
}

func spinUntil(word *atomic.Int64, value int64) {
	for word.Load() < value {
	}
}

func ranked(values []time.Duration, rank int) float64 {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return float64(values[rank].Nanoseconds()) / 1000
}

func runWake(name string, n int, pause time.Duration) {
	set := make([]chan struct{}, n)
	woken := make([]time.Time, n)
	delay, call := make([]time.Duration, n), make([]time.Duration, n)
	var waits, ran atomic.Int64
	for i := range set {
		set[i] = make(chan struct{})
	}
	go func() {
		for i := range set {
			waits.Store(int64(i + 1))
			<-set[i]
			woken[i] = time.Now()
			ran.Store(int64(i + 1))
		}
	}()
	for i := range set {
		spinUntil(&waits, int64(i+1))
		spinFor(pause)
		start := time.Now()
		close(set[i])
		call[i] = time.Since(start)
		spinUntil(&ran, int64(i+1))
		delay[i] = woken[i].Sub(start)
	}
	report(result{Bench: name, Unit: "us", Value: ranked(delay, n/2), N: int64(n), Ok: true,
		P99: ranked(delay, n-1-n/100), Call: ranked(call, n/2)})
}

// echo

func serveClient(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := client.Read(buffer)
		if err == io.EOF || n == 0 {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func runEcho(port int) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go serveClient(client)
	}
}

func main() {
	var n int
	flags := flag.NewFlagSet("go_peer", flag.ExitOnError)
	flags.IntVar(&workers, "w", 1, "workers")
	flags.IntVar(&n, "n", 0, "size; the port, for echo")
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go_peer NAME [-w WORKERS] -n SIZE")
		os.Exit(2)
	}
	flags.Parse(os.Args[2:])
	runtime.GOMAXPROCS(workers)

	switch os.Args[1] {
	case "fib":
		runFib(n)
	case "spawn":
		runSpawn(n)
	case "group":
		runGroup(n)
	case "skynet":
		runSkynet(int64(n))
	case "yield":
		runYield("yield2", 2, n/2)
		runYield("yield1000", 1000, n/1000)
	case "queue":
		runQueue(n)
	case "mutex":
		runMutex("mutex", n, false)
		runMutex("mutex_held", n/10, true)
		runVictim(n/16000 + 1)
	case "sleepers":
		runSleepers(n)
	case "timeout":
		runTimeout(n)
	case "timers":
		runTimers(n)
	case "wake":
		runWake("wake_asleep", n, time.Millisecond)
		runWake("wake_awake", n, 10*time.Microsecond)
	case "echo":
		runEcho(n)
	default:
		os.Exit(2)
	}
}
