package model

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hubName is the form of a model's name on the Hugging Face hub: OWNER/NAME.
var hubName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Locate returns the folder of a checkpoint that is named by a path, or as OWNER/NAME
// if the local cache of the Hugging Face hub has it. Nothing is downloaded.
//
// The cache is $HF_HUB_CACHE, or else hub in $HF_HOME, or else .cache/huggingface/hub
// in the home folder; of several revisions the one that refs/main names is taken.
func Locate(name string) (string, error) {
	if _, err := os.Stat(name); err == nil || !hubName.MatchString(name) {
		return name, err
	}
	cache, err := hubCache()
	if err != nil {
		return "", err
	}
	repo := filepath.Join(cache, "models--"+strings.ReplaceAll(name, "/", "--"))
	revision, err := os.ReadFile(filepath.Join(repo, "refs", "main"))
	if err != nil {
		return "", fmt.Errorf("%s: no such folder, and not in the hub cache %s", name, cache)
	}
	hash := strings.TrimSpace(string(revision))
	if hash == "" || hash != filepath.Base(hash) {
		return "", fmt.Errorf("%s: %w", filepath.Join(repo, "refs", "main"), FormatError("not the name of a revision"))
	}
	return filepath.Join(repo, "snapshots", hash), nil
}

func hubCache() (string, error) {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "huggingface", "hub"), err
}
