// SPDX-License-Identifier: MIT

// Reads the value of an address field (hexadecimal, unfolded) from each line, and
// prints the addresses that Go's net/mail finds in it, each in hexadecimal,
// separated by blanks.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/mail"
	"os"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		value, err := hex.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		// An error is one more reader that finds no address.
		found, _ := mail.ParseAddressList(string(value))
		if one, err := mail.ParseAddress(string(value)); err == nil {
			found = append(found, one)
		}
		for number, address := range found {
			if number > 0 {
				fmt.Print(" ")
			}
			fmt.Print(hex.EncodeToString([]byte(address.Address)))
		}
		fmt.Println()
	}
}
