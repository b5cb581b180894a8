package dev.sipwake

import java.io.IOException
import java.nio.file.Files
import java.nio.file.LinkOption.NOFOLLOW_LINKS
import java.nio.file.Path
import java.nio.file.attribute.PosixFilePermissions
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.io.TempDir

class FileStoreTest {
    @TempDir
    lateinit var place: Path

    @BeforeEach
    fun `the system has owners`() = assumeTrue("posix" in place.fileSystem.supportedFileAttributeViews())

    private fun mode(path: Path) = PosixFilePermissions.toString(Files.getPosixFilePermissions(path, NOFOLLOW_LINKS))

    private fun record(folder: Path) = Files.newDirectoryStream(folder, "record-*").use { it.single() }

    @Test
    fun `only the owner can access folder and files`() {
        val folder = place.resolve("deep/store")
        FileStore(folder).use { store ->
            store.save("binding-1", byteArrayOf(1))
            assertEquals("rwx------", mode(folder))
            Files.list(folder).use { files -> files.forEach { assertEquals("rw-------", mode(it), "$it") } }
        }
    }

    @Test
    fun `a folder that others can write to is refused`() {
        for (open in listOf("rwxrwxrwx", "rwxrwx---", "rwx-w----", "rwx----w-")) {
            val folder = Files.createDirectory(place.resolve(open))
            Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString(open))
            val refused = assertFailsWith<IOException> { FileStore(folder) }
            assertTrue("chmod go-w" in refused.message.orEmpty(), "$refused")
        }
        val seen = Files.createDirectory(place.resolve("seen"))
        Files.setPosixFilePermissions(seen, PosixFilePermissions.fromString("rwxr-xr-x"))
        FileStore(seen).close()
    }

    @Test
    fun `a foreign file or link is neither written nor read`() {
        val folder = place.resolve("store")
        val elsewhere = place.resolve("elsewhere")
        FileStore(folder).use { store ->
            Files.createSymbolicLink(folder.resolve("written"), elsewhere)
            store.save("removals", byteArrayOf(1))
            assertFalse(Files.exists(elsewhere), "it wrote through a link")
            assertContentEquals(byteArrayOf(1), store.load("removals"))
            val kept = record(folder)
            Files.write(elsewhere, byteArrayOf(2))
            Files.delete(kept)
            Files.createSymbolicLink(kept, elsewhere)
            assertFailsWith<IOException> { store.load("removals") }
            Files.delete(kept)
            Files.createDirectory(kept)
            assertFailsWith<IOException> { store.load("removals") }
        }
        Files.delete(folder.resolve("lock"))
        Files.createSymbolicLink(folder.resolve("lock"), elsewhere)
        assertFailsWith<IOException> { FileStore(folder) }
    }

    @Test
    fun `files that others wrote while they could are not read`() {
        val folder = place.resolve("store")
        FileStore(folder).use { store ->
            store.save("removals", byteArrayOf(1))
            val kept = record(folder)
            Files.setPosixFilePermissions(kept, PosixFilePermissions.fromString("rw-r--rw-"))
            assertFailsWith<IOException> { store.load("removals") }
            store.save("removals", byteArrayOf(2))
            assertContentEquals(byteArrayOf(2), store.load("removals"))
            // Only root can change the owner of a file.
            if (Files.getOwner(folder).name == "root") {
                Files.setAttribute(record(folder), "unix:uid", 65_534)
                assertFailsWith<IOException> { store.load("removals") }
            }
        }
        val link = Files.createSymbolicLink(place.resolve("link"), folder)
        FileStore(link).close()
        if (Files.getOwner(folder).name == "root") {
            Files.setAttribute(link, "unix:uid", 65_534, NOFOLLOW_LINKS)
            assertFailsWith<IOException> { FileStore(link) }
        }
    }
}
