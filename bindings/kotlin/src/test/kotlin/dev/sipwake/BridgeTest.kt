package dev.sipwake

import java.io.IOException
import java.lang.reflect.Modifier
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.jupiter.api.io.TempDir

class BridgeTest {
    /** The classes of this package, from the compiler's output. */
    private val ours: List<Class<*>> = Path.of(SipWakeClient::class.java.protectionDomain.codeSource.location.toURI())
        .resolve("dev/sipwake").let { folder ->
            Files.list(folder).use { files ->
                files.map { it.fileName.toString() }.filter { it.endsWith(".class") }.toList()
            }.map { Class.forName("dev.sipwake.${it.removeSuffix(".class")}") }
        }

    @Test
    fun `every enum has the same names on both sides of the bridge`() {
        // Only Kotlin has these two: an error is a class in Rust, and a code is a word in a report.
        val enums = ours.filter { it.isEnum && it != ErrorKind::class.java && it != PhoneNetwork::class.java }
        assertTrue(enums.size >= 16, "$enums")
        for (enum in enums) {
            val other = Class.forName("dev.sipwake.ffi.${enum.simpleName}")
            assertEquals(names(other), names(enum), enum.simpleName)
        }
    }

    @Test
    fun `no public signature names a type of the bridge`() {
        // Classes whose names begin with Safe are internal in Kotlin and public for the JVM.
        val public = ours.filter { Modifier.isPublic(it.modifiers) && !it.simpleName.startsWith("Safe") }
        val leaks = public.flatMap { type ->
            val methods = type.declaredMethods.filter { Modifier.isPublic(it.modifiers) && !it.isSynthetic && !isInternal(it.name) }
            val constructors = type.declaredConstructors.filter { Modifier.isPublic(it.modifiers) && !it.isSynthetic }
            (methods.map { it.toGenericString() } + constructors.map { it.toGenericString() })
                .filter { "dev.sipwake.ffi" in it }
        }
        assertEquals(emptyList(), leaks)
    }

    /** Kotlin's `internal` is public for the JVM: members get a suffix, and top-level functions are in a class of their file. */
    private fun isInternal(method: String) = '$' in method || method in internalFunctions

    private val internalFunctions = setOf(
        "toFfi", "toAction", "toCaller", "toEvent", "toRegistration", "toRequest", "toSession", "toTimes", "toVerdict", "toTags", "toCredentials",
        "toRegister", "toAnswer", "toInvite", "toPending", "toPushKey", "fields", "named", "translated",
    )

    private fun names(enum: Class<*>) = enum.enumConstants.map { (it as Enum<*>).name }

    @Test
    fun `a folder keeps records after a store is closed, for one client at a time`(@TempDir folder: Path) {
        FileStore(folder).use { store ->
            store.save("a/../b", byteArrayOf(1))
            store.save("A/../B", byteArrayOf(2))
            store.save("gone", byteArrayOf(3))
            store.remove("gone")
            store.remove("never there")
            assertFailsWith<IOException> { FileStore(folder) }
        }
        FileStore(folder).use { store ->
            assertContentEquals(byteArrayOf(1), store.load("a/../b"))
            assertContentEquals(byteArrayOf(2), store.load("A/../B"))
            assertNull(store.load("gone"))
            assertEquals(setOf("a/../b", "A/../B"), store.keys())
            store.removeAll()
            assertEquals(emptySet(), store.keys())
            assertNull(store.load("a/../b"))
        }
        val permissions = Files.getPosixFilePermissions(folder).map { it.name }
        assertEquals(listOf("OWNER_EXECUTE", "OWNER_READ", "OWNER_WRITE"), permissions.sorted())
    }
}
