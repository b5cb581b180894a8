package dev.sipwake

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals

class LibraryTest {
    @Test
    fun `without the library an error says what to do, instead of an UnsatisfiedLinkError`() {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val classes = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
        val process = ProcessBuilder(java, "-Djna.library.path=/nowhere", "-cp", classes, "dev.sipwake.WithoutLibrary")
            .redirectErrorStream(true).start()
        val said = process.inputStream.bufferedReader().readLines()
        assertEquals(0, process.waitFor(), said.joinToString("\n"))
        assertEquals(listOf("LIBRARY_MISSING", "LIBRARY_MISSING"), said.map { it.substringBefore(' ') })
        said.forEach { assert("dev.sipwake:sipwake-jvm" in it && "jna.library.path" in it) { it } }
    }
}

/** A program on a machine without sipwake's native library. */
object WithoutLibrary {
    @JvmStatic
    fun main(arguments: Array<String>) = repeat(2) {
        try {
            SipWakeClient(MemoryStore()).close()
        } catch (error: SipWakeException) {
            println("${error.kind} ${error.reason}")
        }
    }
}
