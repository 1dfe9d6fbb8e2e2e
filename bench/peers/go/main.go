// Go's answers to the same questions, with goroutines, channels and its
// network package.  It takes the same arguments as the C programs and prints
// the same line.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
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
	case "skynet":
		runSkynet(int64(n))
	case "yield":
		runYield("yield2", 2, n/2)
		runYield("yield1000", 1000, n/1000)
	case "sleepers":
		runSleepers(n)
	case "echo":
		runEcho(n)
	default:
		os.Exit(2)
	}
}
