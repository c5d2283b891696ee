package pipeline

import "golang.org/x/sys/windows"

// freeSpace returns the bytes that a user may still write to the file system of a folder, if it tells.
func freeSpace(dir string) (free int64, known bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var available uint64
	if windows.GetDiskFreeSpaceEx(path, &available, nil, nil) != nil {
		return 0, false
	}
	return int64(available), true
}
