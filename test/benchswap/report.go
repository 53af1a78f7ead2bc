package main

import (
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// report prints what the swaps under load were like.
func report(plain, reexec series, lines []line, means map[string]time.Duration, answers int, errs []error) {
	fmt.Printf("%d swaps under %d clients, one after the other, and %d more in which the program becomes the new one.\n\n",
		len(plain.took), servers*perServer, len(reexec.took))
	fmt.Print("| | median | 95th percentile | longest |\n|---|---|---|---|\n")
	var stopped, total []time.Duration
	threads := 0
	for _, l := range lines {
		stopped, total, threads = append(stopped, l.stopped), append(total, l.total), max(threads, l.threads)
	}
	row("swap in all, image present", total)
	row(fmt.Sprintf("processes stopped (up to %d threads)", threads), stopped)
	row("asked → observed, through the API server", plain.took)
	row("longest silence of a client, in a swap", plain.silence)
	row("the same, the program becoming the new one", reexec.silence)
	row("the same, nothing being done", plain.control)
	fmt.Printf("\n%d answers, %d errors", answers, len(errs))
	for _, err := range errs {
		fmt.Printf("; %v", err)
	}
	fmt.Print(".\n\n| step | mean |\n|---|---|\n")
	for _, step := range swap.Steps {
		fmt.Printf("| %s | %s |\n", step, ms(means[step]))
	}
}

func row(name string, values []time.Duration) {
	fmt.Printf("| %s | %s | %s | %s |\n", name, ms(median(values)), ms(quantile(values, 0.95)), ms(quantile(values, 1)))
}
