package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/reconciler"
)

// settings is everything a flag sets.
type settings struct {
	options             reconciler.Options
	logFormat, logLevel string
	answered            bool // --help and --version want nothing more
}

// parse reads flags, and for each flag that is not given the environment
// variable HOTPATCH_<FLAG>, as in HOTPATCH_STATUS_BRANCH.
func parse(args []string) (settings, error) {
	var s settings
	flags := pflag.NewFlagSet("hotpatch-reconciler", pflag.ContinueOnError)
	flags.SortFlags = false
	s.define(flags)
	version := flags.Bool("version", false, "print the version and exit")
	err := flags.Parse(args)
	s.answered = *version || errors.Is(err, pflag.ErrHelp)
	if *version {
		fmt.Println(buildinfo.Line("hotpatch-reconciler"))
	}
	if s.answered {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, fromEnvironment(flags)
}

func (s *settings) define(f *pflag.FlagSet) {
	o := &s.options
	f.StringVar(&o.Repo, "repo", "", "URL of the Git repository (https://…, ssh://…, git@host:path, http://…, file://…)")
	f.StringVar(&o.Branch, "branch", "main", "branch to follow")
	o.Auth.Flags(f.StringVar)
	f.StringVar(&o.GitCacheDir, "git-cache-dir", "", "directory on a disk for what of a large repository has no room in memory; without it memory has all")
	f.StringVar(&o.SignersFile, "git-signers-file", "", "file with whose signatures of commits count: lines of allowed_signers for SSH keys, OpenPGP public keys in armor; without it commits need no signature")
	f.TextVar(&o.Author, "git-author", gitsource.Person{}, `author of the commits of results, "Name <mail>"; without it Hotpatch <hotpatch@CLUSTER>`)
	f.TextVar(&o.Committer, "git-committer", gitsource.Person{}, "their committer; without it the author")
	f.StringVar(&o.SigningKey.File, "git-signing-key-file", "", "file with the private key, of SSH or of OpenPGP in armor, that signs these commits")
	f.StringVar(&o.SigningKey.PassphraseFile, "git-signing-passphrase-file", "", "file with that key's passphrase")
	f.StringVar(&o.MessageTemplateFile, "message-template-file", "", "file with a template for the messages of these commits, with expressions in CEL between {{ and }}")
	f.StringVar(&o.Path, "path", ".", "directory of the kustomization in the repository")
	f.StringVar(&o.Tag, "tag", "", "versions to follow instead of a branch: of the tags that fit (v1.*, ~1.4, >=1.2 <2) the highest")
	f.StringVar(&o.Commit, "commit", "", "commit to stay on instead of following a branch, by its whole hash")
	f.StringVar(&o.StatusBranch, "status-branch", "hotpatch-status", "branch that results are committed to")
	f.StringVar(&o.Cluster, "cluster", "", "name of this cluster in the results")
	f.DurationVar(&o.Interval, "interval", 30*time.Second, "time between two polls of the Git server")
	f.StringVar(&o.Schedule, "schedule", "", "cron spec to poll by, instead of --interval")
	f.StringVar(&o.Kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; empty inside a cluster")
	f.BoolVar(&o.LeaderElect, "leader-elect", true, "take turns with other reconcilers of the namespace")
	f.StringVar(&o.Namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "hotpatch-system"), "namespace of the Lease, and what tells reconcilers of several sources apart")
	f.StringVar(&o.Identity, "identity", cmp.Or(os.Getenv("POD_NAME"), hostIdentity()), "name of this process in the Lease")
	f.StringVar(&o.Listen, "listen", ":8080", "address of the HTTP server")
	f.StringVar(&o.AdvertiseHost, "advertise-host", cmp.Or(os.Getenv("POD_IP"), "127.0.0.1"), "host under which pods reach the HTTP server")
	f.StringVar(&o.TriggerTokenFile, "trigger-token-file", "", "file with the token that POST /trigger wants")
	f.StringVar(&o.WebhookSecretFile, "webhook-secret-file", "", "file with the secrets, one in each line, that forges sign what they send to POST /webhook with; without it nothing is taken there")
	f.StringVar(&o.CommitStatus.Kind, "commit-status", "", "forge that shows beside each commit what became of it: github, gitlab or gitea; without it none does")
	f.StringVar(&o.CommitStatus.API, "commit-status-api", "", "that forge's API (https://api.github.com, https://HOST/api/v4); without it by the Git server's host")
	f.StringVar(&o.CommitStatus.Repository, "commit-status-repo", "", "the repository there, OWNER/NAME; without it as in --repo")
	f.StringVar(&o.CommitStatus.TokenFile, "commit-status-token-file", "", "file with a token for that API; without it what is shown for Git over HTTPS")
	f.StringVar(&o.SidecarTokenFile, "sidecar-token-file", "", "file with the token shown to sidecars")
	f.StringVar(&o.SidecarTLS.CAFile, "sidecar-ca-file", "", "file with the authorities of the sidecars' certificates; without it sidecars are called over plain HTTP")
	f.StringVar(&o.SidecarTLS.CertFile, "sidecar-client-cert-file", "", "file with the certificate shown to sidecars")
	f.StringVar(&o.SidecarTLS.KeyFile, "sidecar-client-key-file", "", "file with the key of that certificate")
	f.StringVar(&o.SidecarTLS.ServerName, "sidecar-server-name", "hotpatch-sidecar", "DNS name that the sidecars' certificates are made out to")
	f.StringSliceVar(&o.FilesServiceAccounts, "files-service-accounts", []string{"hotpatch-sidecar"}, "ServiceAccounts (name, or namespace:name) of sidecars that may fetch files of the repository by their digest")
	f.StringSliceVar(&o.InsecureRegistries, "insecure-registries", nil, "registries (host:port) that speak plain HTTP")
	f.Var(prefixes{&o.AnalysisAllowAddresses}, "analysis-allow-addresses", "addresses (10.0.0.1, 127.0.0.0/8) that analyses may connect to though they are the machine's own or a cloud's metadata service")
	f.StringVar(&o.AnalysisCredentials, "analysis-credentials", "/etc/hotpatch/analysis", "directory with a directory of files for each credentials that analyses name")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warning or error")
}

func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "HOTPATCH_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if f.Changed || !set || value == "" || err != nil {
			return
		}
		if wrong := flags.Set(f.Name, value); wrong != nil {
			err = fmt.Errorf("%s: %w", name, wrong)
		}
	})
	return err
}

// hostIdentity tells processes outside of a cluster apart.
func hostIdentity() string {
	host, _ := os.Hostname()
	return host + "-" + strconv.Itoa(os.Getpid())
}
