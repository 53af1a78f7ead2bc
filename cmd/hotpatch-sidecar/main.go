// Command hotpatch-sidecar puts new versions of files into the pod it runs in;
// see docs/sidecar.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

func main() {
	o := sidecar.Options{Pod: kube.Pod{Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME"), UID: os.Getenv("POD_UID")}}
	pflag.StringSliceVar(&o.Configs, "config", sidecar.ConfigFiles, "config file; of several the first that exists")
	pflag.StringVar(&o.Listen, "listen", ":5000", "address to listen on")
	pflag.StringVar(&o.Dir, "dir", sidecar.DefaultDir, "directory of the files, unless the config names one")
	pflag.StringVar(&o.ServiceAccountDir, "service-account", kube.ServiceAccountDir, "directory of the pod's credentials")
	format := pflag.String("log-format", "text", "text or json")
	level := pflag.String("log-level", "info", "debug, info, warning or error")
	version := pflag.Bool("version", false, "print the version and stop")
	pflag.Parse()
	if *version {
		fmt.Println(buildinfo.Line("hotpatch-sidecar"))
		return
	}
	log, err := logging.New(os.Stderr, *format, *level)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = sidecar.Run(logging.Into(ctx, log), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hotpatch-sidecar:", err)
		os.Exit(1)
	}
}
