package reconciler

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/forge"
)

// Options say which branch to follow into which cluster.
type Options struct {
	// Repo is the URL of the Git repository; credentials do not belong in it.
	Repo string
	// Branch is what people push to, StatusBranch where results go. Tag, which versions
	// to follow, or Commit take the place of Branch.
	Branch, StatusBranch, Tag, Commit string
	// Path of the kustomization in the repository.
	Path string
	// Auth holds the names of files with credentials for Git.
	Auth gitsource.Auth
	// GitCacheDir is where files are made for what of Git has no room in memory; empty:
	// memory has all.
	GitCacheDir string
	// SignersFile names whose signatures of commits count; empty: they need none.
	SignersFile string
	// Author and Committer of the commits of results; without an author it is
	// Hotpatch, hotpatch@<Cluster>, and without a committer the author.
	Author, Committer gitsource.Person
	// SigningKey signs these commits; its zero value: nothing does.
	SigningKey gitsource.SigningKey
	// MessageTemplateFile holds a template for the messages of these commits; empty:
	// they have the built-in one. See Message.
	MessageTemplateFile string
	// Cluster names this cluster in the results: clusters/<Cluster>/….
	Cluster string
	// Interval between two polls of the Git server; Schedule, a cron spec,
	// takes its place when set.
	Interval time.Duration
	Schedule string

	// Kubeconfig names a file; empty: the cluster this process runs in.
	Kubeconfig string
	// LeaderElect makes the reconcilers of one Namespace take turns; Identity
	// tells them apart. Pods that follow them are told apart by the Namespace.
	LeaderElect bool
	Namespace   string
	Identity    string

	// Listen is the HTTP server's address; AdvertiseHost is the host, without
	// port, under which pods reach it.
	Listen        string
	AdvertiseHost string
	// TriggerTokenFile holds the token that POST /trigger wants; empty: none.
	TriggerTokenFile string
	// WebhookSecretFile holds the secrets, one in each line, that forges sign deliveries
	// to POST /webhook with; empty: none is taken.
	WebhookSecretFile string
	// CommitStatus is where the fate of commits is shown; without a kind nowhere.
	CommitStatus forge.Options
	// SidecarTokenFile holds the token shown to sidecars; empty: none.
	SidecarTokenFile string
	// SidecarTLS has sidecars called over HTTPS; its zero value: over HTTP.
	SidecarTLS SidecarTLS
	// FilesServiceAccounts, as "name" or "namespace:name", may have files of the
	// repository by their digest, which sidecars do that restore what they had.
	FilesServiceAccounts []string
	// InsecureRegistries ("host:port") speak plain HTTP.
	InsecureRegistries []string
	// AnalysisAllowAddresses are addresses that analyses may connect to though they
	// are loopback, link-local or a cloud's metadata service.
	AnalysisAllowAddresses []netip.Prefix
	// AnalysisCredentials is a directory with one directory of files for each
	// credentials that analyses name.
	AnalysisCredentials string
}

// Validate says everything that is wrong, by the name of the flag.
func (o Options) Validate() error {
	return errors.Join(
		required("repo", o.Repo), required("branch", o.Branch), required("status-branch", o.StatusBranch),
		required("cluster", o.Cluster), required("identity", o.Identity), required("namespace", o.Namespace),
		o.validateRepo(), o.validateTimes(), o.validateListen(), o.validateSigners(), o.SidecarTLS.validate(),
	)
}

func required(flag, value string) error {
	if value == "" {
		return fmt.Errorf("--%s is not set", flag)
	}
	return nil
}

// validateRepo refuses secrets where logs and commits would show them.
func (o Options) validateRepo() error {
	if o.Repo == "" {
		return nil // which is said already
	}
	if err := gitsource.CheckURL(o.Repo); err != nil {
		return fmt.Errorf("--repo: %w", err)
	}
	return nil
}

// follows is the branch whose pushes are news, "" if those of tags are.
func (o Options) follows() string {
	if o.Tag != "" {
		return ""
	}
	return o.Branch
}

// validateSigners refuses to have our own commits be the tip that does not count.
func (o Options) validateSigners() error {
	if o.SignersFile != "" && o.Branch == o.StatusBranch && o.SigningKey.File == "" {
		return errors.New("--git-signers-file, and results that nobody signs on the same branch, do not go together: set --git-signing-key-file, or another --status-branch")
	}
	return nil
}

func (o Options) validateTimes() error {
	if o.Schedule == "" && o.Interval < time.Second {
		return fmt.Errorf("--interval %s is too short, the least is 1s", o.Interval)
	}
	if _, err := gitsource.ParseSchedule(o.Interval, o.Schedule); err != nil {
		return fmt.Errorf("--schedule: %w", err)
	}
	return nil
}

func (o Options) validateListen() error {
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return fmt.Errorf("--listen %q: want host:port or :port", o.Listen)
	}
	return nil
}

// advertised is the URL under which pods reach the HTTP server.
func (o Options) advertised() string {
	_, port, _ := net.SplitHostPort(o.Listen) // Validate has seen to it
	return "http://" + net.JoinHostPort(o.AdvertiseHost, port)
}
