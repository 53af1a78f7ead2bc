// Package reconciler is the loop that makes a cluster's running pods follow a
// branch of a Git repository: fetch → render → observe → plan → execute →
// record.
//
// It promises that a pass waits for nobody: Git is read, images are resolved,
// pods and sidecars are told and results are committed beside it, each with
// limits of its own. It is level-triggered: killed at any moment and started
// again, it reads from Git, the pods and the record all that it knew, and goes
// on where it was. What cannot be read or found leaves the last good state of
// its own HotPatch in force, and of no other.
package reconciler

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/gates"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/registry"
)

// resyncInterval is how often everything is looked at even if nothing seems to
// have changed.
const resyncInterval = time.Minute

// Reconciler is one process of it, leading or standing by.
type Reconciler struct {
	options   Options
	trigger   *trigger // of passes
	moved     moved    // since the last pass
	follower  *follower
	cluster   observer
	digests   *digests
	executor  *executor
	admission *admission
	analyses  *analyses
	recorder  *recorder
	announcer *announcer // nil: no forge is told
	files     *files
	jobs      *jobs
	retries   *retries
	metrics   *metrics
	standby   *standby

	// held lists the pods of a namespace that follow the reconciler of another.
	held  func(ctx context.Context, namespace, by string) ([]kube.Pod, error)
	lead  func(ctx context.Context, work func(context.Context) error) error
	leads atomic.Bool
	state atomic.Pointer[error] // why this process is not ready
}

// Run follows the repository into the cluster until ctx ends, or until this
// process is the leader no more. It returns an error for bad options before it
// has done anything.
func Run(ctx context.Context, options Options) error {
	if err := options.Validate(); err != nil {
		return err
	}
	r, err := newReconciler(ctx, options)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", options.Listen)
	if err != nil {
		return err
	}
	logging.From(ctx).Infof("%s, HTTP on %s", buildinfo.Line("hotpatch-reconciler"), listener.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveHTTP(ctx, listener, r.endpoints()) })
	group.Go(func() error { return r.run(ctx) })
	group.Go(func() error { r.listen(ctx); return nil })
	return group.Wait()
}

func newReconciler(ctx context.Context, o Options) (*Reconciler, error) {
	schedule, err := gitsource.ParseSchedule(o.Interval, o.Schedule)
	if err != nil {
		return nil, err
	}
	git := gitsource.Options{URL: o.Repo, Auth: o.Auth, CacheDir: o.GitCacheDir, Silence: &gitsource.Silence{}}
	read, write := git, git
	read.Branch, read.Tag, read.Commit, read.SignersFile = o.Branch, o.Tag, o.Commit, o.SignersFile
	write.Branch = o.StatusBranch
	source, err := gitsource.NewSource(read)
	if err != nil {
		return nil, err
	}
	writer, err := gitsource.NewWriter(gitsource.WriterOptions{
		Options:    write,
		Author:     cmp.Or(o.Author, gitsource.Person{Name: "Hotpatch", Email: "hotpatch@" + o.Cluster}),
		Committer:  o.Committer,
		SigningKey: o.SigningKey,
	})
	if err != nil {
		return nil, err
	}
	template, err := readTemplate(ctx, o.MessageTemplateFile)
	if err != nil {
		return nil, err
	}
	r := &Reconciler{options: o, trigger: newTrigger(), metrics: newMetrics()}
	soon := debounce(func() { r.trigger.fire(podsChanged) })
	cluster, err := kube.Connect(o.Kubeconfig, func(scope kube.Scope) { r.moved.add(scope); soon() })
	if err != nil {
		return nil, err
	}
	r.cluster = cluster
	r.files = &files{base: o.advertised(), callers: newCallers(o.FilesServiceAccounts, cluster)}
	r.retries = newRetries(func() { r.trigger.fire(retryDue) })
	r.jobs = newJobs(r.retries, func() { r.trigger.fire(workEnded) })
	r.digests = newDigests(&registry.Resolver{Insecure: o.InsecureRegistries}, r.jobs)
	r.held = cluster.Held
	r.executor = newExecutor(o.owner, cluster, newSidecars(o.SidecarTokenFile, o.SidecarTLS), r.files, r.jobs, r.metrics)
	r.admission = newAdmission(cluster, r.jobs, r.metrics)
	r.analyses = newAnalyses(gates.New(cluster, o.AnalysisAllowAddresses, gates.Credentials(o.AnalysisCredentials)), r.metrics, func() { r.trigger.fire(workEnded) })
	r.follower = &follower{source: source, schedule: schedule, path: o.Path, metrics: r.metrics, poll: newTrigger(),
		found: func() { r.trigger.fire(newCommit) }, polled: func() { r.recorder.sourcePolled() }}
	r.recorder = &recorder{branch: writer, cluster: o.Cluster, template: template, metrics: r.metrics, wake: newTrigger(), stepped: func() { r.trigger.fire(workEnded) }}
	if r.announcer, err = r.newAnnouncer(); err != nil {
		return nil, err
	}
	r.lead = func(ctx context.Context, work func(context.Context) error) error {
		return cluster.Lead(ctx, o.Namespace, o.Identity, work)
	}
	r.standby = newStandby(o, func(ctx context.Context) (string, error) { return cluster.Leader(ctx, o.Namespace) })
	return r, nil
}

// run works as the leader, after having waited to be it.
func (r *Reconciler) run(ctx context.Context) error {
	r.setState(nil)
	if !r.options.LeaderElect {
		return r.work(ctx)
	}
	logging.From(ctx).Infof("waiting for the lease %s/%s as %s", r.options.Namespace, kube.LeaseName, r.options.Identity)
	return r.lead(ctx, r.work)
}

var errNoPassYet = errors.New("no pass has ended yet: waiting for Git, see the log")

// work runs the loop, with everything beside it, until ctx ends. It returns
// when the last result is recorded.
func (r *Reconciler) work(ctx context.Context) error {
	r.setState(errNoPassYet)
	r.leads.Store(true)
	defer context.AfterFunc(ctx, func() { r.leads.Store(false) })()
	logging.From(ctx).Info("leading")
	records, err := r.recorder.load(ctx)
	if err != nil {
		return nil // ctx has ended
	}
	l := &loop{Reconciler: r, life: ctx, tracked: map[string]*tracked{}}
	l.surplus.add("") // whoever led before may have been killed in the midst of it
	for key, record := range records {
		l.tracked[key] = &tracked{key: key, record: record}
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.follower.follow(ctx) })
	beside.Go(func() { r.recorder.record(ctx) })
	beside.Go(func() { r.announcer.announce(ctx) })
	r.trigger.serve(ctx, func(ctx context.Context, why cause) { r.measured(ctx, l, why) })
	l.alarm.stop()
	beside.Wait()
	r.jobs.wait()
	r.analyses.wait()
	return nil
}

func (r *Reconciler) measured(ctx context.Context, l *loop, why cause) {
	defer r.metrics.stage("pass")()
	for _, name := range why.names() {
		r.metrics.passes.WithLabelValues(name).Inc()
	}
	l.pass(ctx, why)
	if l.known != nil {
		r.setState(nil)
	}
}

// listen turns signals and the clock into triggers.
func (r *Reconciler) listen(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ticker := time.NewTicker(resyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_ = r.poll(ctx, false) // it is logged
		case <-ticker.C:
			r.trigger.fire(resync)
		}
	}
}

func (r *Reconciler) endpoints() http.Handler {
	e := &endpoints{
		metrics:   r.metrics,
		files:     r.files,
		ready:     func() error { return *r.state.Load() },
		followed:  r.follower.holdup,
		recorded:  r.recorder.holdup,
		poll:      r.poll,
		tokenFile: r.options.TriggerTokenFile,
		webhooks:  newWebhooks(r.options.WebhookSecretFile, r.options.follows(), r.metrics, func(ctx context.Context) error { return r.poll(ctx, false) }),
	}
	return e.handler()
}

func (r *Reconciler) setState(err error) { r.state.Store(&err) }
