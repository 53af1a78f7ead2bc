package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// readFile reads what is ours among the documents of one file. Their files, and
// other HotPatches that they wait for, are not looked for: that takes the folder
// around them.
func readFile(name string) (result render.Result, err error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return result, err
	}
	var errs []error
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return result, invalid{&api.Error{File: name, Reason: err.Error()}}
		}
		if err := readDocument(&result, name, document); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return result, invalid{err}
	}
	return result, nil
}

// readDocument takes in a document if it is ours. One that cannot be read is, so
// that its mistake is told.
func readDocument(result *render.Result, name string, document []byte) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &head); err == nil && head.APIVersion != api.APIVersion {
		return nil
	}
	if head.Kind == api.KindSuspension {
		s, err := api.DecodeSuspension(name, document)
		if err == nil {
			result.Suspensions = append(result.Suspensions, render.Suspension{Suspension: s, File: name})
		}
		return err
	}
	h, err := render.Decode(name, document)
	if err == nil {
		result.Items = append(result.Items, render.Item{HotPatch: h, File: name})
	}
	return err
}
