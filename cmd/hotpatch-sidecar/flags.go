package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/sidecar"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// settings are what the command line and the environment say.
type settings struct {
	options             sidecar.Options
	logFormat, logLevel string
	version             bool // it was all that was asked for, and is printed
}

func parse(args []string) (settings, error) {
	s := settings{options: sidecar.Options{Pod: kube.Pod{
		Namespace: os.Getenv("POD_NAMESPACE"),
		Name:      os.Getenv("POD_NAME"),
		UID:       os.Getenv("POD_UID"),
	}}}
	flags := s.flags()
	err := flags.Parse(args)
	if err == nil && s.version {
		fmt.Println(buildinfo.Line("hotpatch-sidecar"))
	}
	return s, err
}

// flags are the command line's, and what they stand for.
func (s *settings) flags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("hotpatch-sidecar", pflag.ContinueOnError)
	flags.StringSliceVar(&s.options.Configs, "config", sidecar.ConfigFiles, "config file; of several the first that exists")
	flags.StringVar(&s.options.Listen, "listen", ":5000", "address to listen on")
	flags.StringVar(&s.options.Dir, "dir", sidecar.DefaultDir, "directory of the files, unless the config names one")
	flags.StringVar(&s.options.ServiceAccountDir, "service-account", kube.ServiceAccountDir, "directory of the pod's credentials")
	flags.StringVar(&s.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warning or error")
	flags.BoolVar(&s.version, "version", false, "print the version and stop")
	return flags
}
