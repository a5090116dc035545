// The MinIO server, as upstream's own main has it, from modules that this folder's go.sum pins.
package main

import (
	"os"

	minio "github.com/minio/minio/cmd"
)

func main() { minio.Main(os.Args) }
