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

// readFile reads the HotPatches among the documents of one file. Their files
// are not looked for: that takes the folder around them.
func readFile(name string) ([]render.Item, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var items []render.Item
	var errs []error
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return items, invalid{&api.Error{File: name, Reason: err.Error()}}
		}
		if !isHotPatch(document) {
			continue
		}
		h, err := render.Decode(name, document)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		items = append(items, render.Item{HotPatch: h, File: name})
	}
	if err := errors.Join(errs...); err != nil {
		return items, invalid{err}
	}
	return items, nil
}

// isHotPatch tells whether a document is of ours. One that cannot be read is,
// so that its mistake is told.
func isHotPatch(document []byte) bool {
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	err := yaml.Unmarshal(document, &head)
	return err != nil || head.APIVersion == api.APIVersion
}
