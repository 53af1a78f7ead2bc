package main

// What all commands that make commits say of themselves.
const (
	madeInClone = `The commit is made in the clone that you stand in, on its branch, with nothing
else that you may have prepared. Only the fields that change are touched.
`
	editFlags = `      --branch NAME    make the commit on a new branch, for a pull request, and
                       leave the working tree as it is
      --dir DIR        folder in the clone that the HotPatch is built from
                       (default .)
      --dry-run        print the diff, and change nothing
      --push           push the commit
  -n, --namespace NAME which, if several have that name
`
	recordFlags = `      --repo URL       repository with the record of what was observed
                       (default $HOTPATCH_REPO, or what the clone is of)
      --status-branch NAME
                       its branch (default hotpatch-status)
      --cluster NAME   whose record to go by, if there are several
`
)

// pages are what `hotpatch help COMMAND` prints.
var pages = map[string]string{
	"": `Hotpatch changes what runs inside pods that must not restart, as Git says.
This program looks, and makes commits; the reconciler in the cluster does.

Usage:
  PROGRAM COMMAND [flags]

Commands:
  validate [PATH|URL]  check what a repository asks for
  plan [PATH|URL]      tell what would change on the cluster now, and why
  status [NAME...]     show what was observed, from the status branch
  watch NAME           follow that until the rollout ends
  history NAME         show what was observed when, and who asked for it
  set image|file NAME  ask for another image, or version of a file, by a commit
  promote NAME         let a rollout that pauses go on, by a commit
  suspend NAME         have nothing new start, by a commit (--namespace, --all)
  resume NAME          let it start again, by a commit (--namespace, --all)
  rollback NAME        ask for the stable revision again, by a commit
  sync URL             have a reconciler poll Git now
  status-branch compact
                       shorten the history of the branch with the results
  version              print the version

Exit codes:
  0  fine; for plan: nothing would change
  1  misuse, or something could not be reached or read
  2  plan: something would change
  3  what the repository asks for is not valid
  4  watch: it is degraded, or was rolled back

Example:
  PROGRAM plan ./hotpatch

"PROGRAM help COMMAND" tells more. Credentials for Git over HTTPS are files:
--git-username-file, --git-password-file, --git-token-file, --git-ca-file,
--git-ssh-key-file, --git-ssh-passphrase-file, --git-known-hosts-file.
`,
	"validate": `Check every HotPatch and Suspension that a folder, a file or a Git repository asks for.

Usage:
  PROGRAM validate [PATH|URL] [flags]

A folder is rendered with kustomize as the reconciler does it. All that is wrong
is told at once, each with its file, object and field; then the exit code is 3.

Flags:
      --branch NAME   branch of URL (default main)
      --path DIR      folder in the repository of URL (default .)
      --schema[=KIND] print the JSON schema of a HotPatch, or of a Suspension, for
                      editors

Example:
  PROGRAM validate ./hotpatch
`,
	"plan": `Tell what the reconciler would do now if PATH or URL were what it follows, or
what a pull request would change.

Usage:
  PROGRAM plan [PATH|URL] [flags]
  PROGRAM plan [PATH] --base REF [--head REF] [flags]

Nothing is changed. Exit codes: 0 nothing to do, 2 something to do, 3 not valid,
1 could not tell. The actions are the next ones, not all that will follow: pods
change a few at a time, and images are made ready before the first.

With --base it compares two commits of the clone that PATH is in: images and files
with their digests, which pods would change until the end, in their order, and what
would be refused, which makes the exit code 3. It goes by the record of the status
branch; with --kubeconfig it looks at the cluster. It begins where HEAD and the
base parted, which takes a clone with that history.

Flags:
      --base REF                  review what merging into REF would change
      --head REF                  what is to be merged (default HEAD)
  -o, --output FORMAT             of a review: text, markdown or json
      --branch NAME               branch of URL (default main)
      --path DIR                  folder in the repository of URL (default .)
      --repo URL                  repository with the record of what was
                                  observed (default: URL, or the repository
                                  that PATH is a clone of)
      --status-branch NAME        its branch (default hotpatch-status)
      --cluster NAME              whose record to read, if there are several
      --kubeconfig FILE           cluster to look at (default $KUBECONFIG or
                                  ~/.kube/config)
      --insecure-registries LIST  registries that speak plain HTTP
      --registry-alias NAME=ADDR  registry that is called NAME in the cluster
                                  and reached at ADDR from here

Example:
  PROGRAM plan ./hotpatch --kubeconfig ~/.kube/prod
`,
	"sync": `Have a reconciler poll Git now instead of when its time comes.

Usage:
  PROGRAM sync [URL] [flags]

URL is where its Service is reached (default $HOTPATCH_URL), as through
"kubectl -n hotpatch-system port-forward service/hotpatch-reconciler 8080".

Flags:
      --token-file FILE  with the token that it wants (HOTPATCH_TRIGGER_TOKEN_FILE)

Example:
  PROGRAM sync http://localhost:8080 --token-file trigger-token
`,
	"status-branch": `Shorten the history of the branch with the results.

Usage:
  PROGRAM status-branch compact [flags]

The oldest commits become one, with what they had recorded last; the newest stay, but
for signatures, which would be wrong. It is done with the git of the clone that you
stand in, anew where results come meanwhile, so that none is lost. Reconcilers go on as
before. What is dropped is gone for good: for audits push it elsewhere first.

Flags:
      --dir DIR        in the clone (default .)
      --keep N         how many commits stay (default 1000)
      --before DATE    instead: older ones become one (2026-01-31, or ...T12:00:00Z)
      --push           do it; else it is only told what would be done
      --status-branch NAME
                       the branch (default hotpatch-status)

Example:
  PROGRAM status-branch compact --keep 500 --push
`,
	"status": `Show what was observed of each HotPatch, from the status branch.

Usage:
  PROGRAM status [NAME...] [flags]

DESIRED is how many pods should be on the newest revision, UPDATED how many were
seen there, UPDATED_READY how many of those are Ready. AGE is the time since the
revision or the phase last changed.

Flags:
      --repo URL       repository, or a clone of it (default $HOTPATCH_REPO or .)
      --branch NAME    branch with the results (default hotpatch-status)
      --cluster NAME   one cluster only
  -n, --namespace NAME one namespace only
  -o, --output FORMAT  wide (with the pods), json or yaml

Example:
  PROGRAM status game-server -o wide
`,
	"set": `Ask for another image of a container, or another version of a file.

Usage:
  PROGRAM set image NAME CONTAINER=IMAGE... [flags]
  PROGRAM set file NAME PATH=VERSION... [flags]

An image is changed where it is written: in the HotPatch, or in images of the
kustomization that decides it. Of a file from this repository, --content puts
another content in place; without it the content is as it was committed.

` + madeInClone + `
Flags:
      --content FILE   what the file is to hold
      --url URL        where the file is to be downloaded, with --sha256
      --sha256 HEX     digest of what is there
` + editFlags + `
Example:
  PROGRAM set image game-server main=registry.example/game:v2 --branch game-v2 --push
`,
	"promote": `Let a rollout that pauses go past the step that it is at.

Usage:
  PROGRAM promote NAME [flags]

It writes the annotation hotpatch.dev/promote, which names the revision and the
step: it means nothing for any other, so that it may stay. Pods are waited for
all the same.

` + madeInClone + `
Flags:
      --full           past all pauses that are left
` + editFlags + recordFlags + `
Example:
  PROGRAM promote game-server --push
`,
	"suspend": `Have nothing new start for a HotPatch, for a namespace or for all.

Usage:
  PROGRAM suspend NAME [flags]
  PROGRAM suspend --namespace NAME | --all [flags]

It sets spec.suspend of the one, and for many it adds a Suspension in a file of its
own, suspend-NAME.yaml. What pods were told before goes on.

` + madeInClone + `
Flags:
      --all            every HotPatch that this repository has for the cluster
      --reason TEXT    one line for the records, with --namespace or --all
` + editFlags + `
Example:
  PROGRAM suspend --namespace games --reason "championship until Sunday" --push
`,
	"resume": `Let a HotPatch, a namespace or all go on that were suspended.

Usage:
  PROGRAM resume NAME [flags]
  PROGRAM resume --namespace NAME | --all [flags]

It takes spec.suspend of the one back, and for many the Suspensions out that hold
them: each of them holds what it says, and spec.suspend too.

` + madeInClone + `
Flags:
      --all            what was suspended by --all
` + editFlags + `
Example:
  PROGRAM resume --namespace games --push
`,
	"rollback": `Ask again for the last revision that reached every pod.

Usage:
  PROGRAM rollback NAME [flags]

It puts the HotPatch's containers and files back as the commit had them that the
stable revision is from, and the files of the repository that they name. Where a
kustomization decides them (images, patches) it says so, and leaves that to git
revert.

` + madeInClone + `
Flags:
` + editFlags + recordFlags + `
Example:
  PROGRAM rollback game-server --dry-run
`,
	"history": `Show what was observed of a HotPatch, newest first, from the status branch's log.

Usage:
  PROGRAM history NAME [flags]

RELEASED_BY wrote the COMMIT that asked for the revision, which PODS were seen on.

Flags:
      --limit N        at most so many lines (default 20)
  -o, --output json    all that was recorded, for programs
      --repo URL       repository, or a clone of it (default $HOTPATCH_REPO or .)
      --branch NAME    branch with the results (default hotpatch-status)
      --cluster NAME   which, if it is on several
  -n, --namespace NAME which, if several have that name

Example:
  PROGRAM history game-server
`,
	"watch": `Follow a HotPatch until its rollout ends. Each line is something new.

Usage:
  PROGRAM watch NAME [flags]

Exit codes: 0 complete, 4 degraded or rolled back, 1 it could not be told in time.

Flags:
      --commit SHA     begin with what this commit asked for: right after a push
                       the record is still of the one before
      --interval TIME  between two looks (default 2s)
      --timeout TIME   give up after that (default 1h)
      --repo URL       repository, or a clone of it (default $HOTPATCH_REPO or .)
      --branch NAME    branch with the results (default hotpatch-status)
      --cluster NAME   which, if it is on several
  -n, --namespace NAME which, if several have that name

Example:
  PROGRAM watch game-server --commit $(git rev-parse HEAD)
`,
	"version": `Print the version.

Usage:
  PROGRAM version

Example:
  PROGRAM version
`,
}
